"""The vendors of the examples. Each class follows the documentation that its example names as its source."""

import base64
import hashlib
import json
from typing import ClassVar
from urllib.parse import parse_qs

from aiohttp import web

from tests.examples.emulator import Emulator, reply

PHONE = {"phone": "+8613800138000"}
NOBODY = {"phone": "+8610000000000"}
EMAIL = {"email": "lin@example.com"}
NO_EMAIL = {"email": "nobody@example.com"}


def basic(request: web.BaseRequest) -> str:
    """Return the user and the password of a request."""
    shown = request.headers.get("Authorization", "").removeprefix("Basic ")
    return base64.b64decode(shown).decode()


class Salesforce(Emulator):
    """REST API, Query; errors are lists; a token without expires_in."""

    example = "salesforce"
    environ: ClassVar = {"SALESFORCE_CLIENT_ID": "id", "SALESFORCE_CLIENT_SECRET": "s3cret"}
    found: ClassVar = PHONE
    missing: ClassVar = {"phone": "x' OR Name != '"}
    variables: ClassVar = {"customer_name": "Lin Xia", "customer_tier": "gold"}
    none: ClassVar = {"customer_name": "guest", "customer_tier": ""}

    def token(self, request: web.BaseRequest, text: str) -> web.StreamResponse | None:
        """Answer /services/oauth2/token."""
        if request.path != "/services/oauth2/token":
            return None
        form = parse_qs(text)
        self.want(that=form["client_secret"] == ["s3cret"], what="the client's secret")
        issued = {"instance_url": "https://x", "issued_at": "1731488371784", "signature": "x"}
        return reply(issued | {"access_token": self.grant(), "token_type": "Bearer"})

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a query; a phone number in quotes, escaped."""
        wanted = "SELECT Name, Tier__c FROM Contact WHERE Phone = '+8613800138000' LIMIT 1"
        injected = "SELECT Name, Tier__c FROM Contact WHERE Phone = 'x\\' OR Name != \\'' LIMIT 1"
        soql = request.query["q"]
        self.want(that=soql in {wanted, injected}, what=soql)
        attributes = {"type": "Contact", "url": "/services/data/v61.0/sobjects/Contact/1"}
        record = {"attributes": attributes, "Name": "Lin Xia", "Tier__c": "gold"}
        records = [record] if soql == wanted else []
        return reply({"totalSize": len(records), "done": True, "records": records})

    def busy(self) -> web.StreamResponse:
        """Tell of the limit with status 403."""
        message = "TotalRequests Limit exceeded."
        return reply([{"message": message, "errorCode": "REQUEST_LIMIT_EXCEEDED"}], 403)

    def denied(self) -> web.StreamResponse:
        """Tell that the session has ended."""
        return reply([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], 401)


class SalesforceJwt(Salesforce):
    """The same, by the JWT bearer flow."""

    example = "salesforce-jwt"
    environ: ClassVar = {"SALESFORCE_CLIENT_ID": "id", "SALESFORCE_USER": "desk@example.com"}
    found: ClassVar = {"caseNumber": " ００００１０２６ "}
    missing: ClassVar = {"caseNumber": "9"}
    variables: ClassVar = {"case_status": "Escalated", "case_opened": "29.02.2024"}
    none: ClassVar = {"case_status": "none", "case_opened": ""}

    def token(self, request: web.BaseRequest, text: str) -> web.StreamResponse | None:
        """Answer an assertion."""
        if request.path != "/services/oauth2/token":
            return None
        form = parse_qs(text)
        claims = json.loads(base64.urlsafe_b64decode(form["assertion"][0].split(".")[1] + "=="))
        self.want(that=claims["aud"] == "https://login.salesforce.com", what="the audience")
        self.want(that=(claims["iss"], claims["sub"]) == ("id", "desk@example.com"), what="issuer, subject")
        return reply({"access_token": self.grant(), "token_type": "Bearer", "instance_url": "https://x"})

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a query for a case: dates as Salesforce writes them."""
        record = {"Status": "Escalated", "CreatedDate": "2024-02-29T12:30:00.000+0000"}
        records = [record] if "'00001026'" in request.query["q"] else []
        return reply({"totalSize": len(records), "done": True, "records": records})


class HubSpot(Emulator):
    """CRM search; categories of errors; a refresh token that stays."""

    example = "hubspot"
    environ: ClassVar = {
        "HUBSPOT_CLIENT_ID": "id",
        "HUBSPOT_CLIENT_SECRET": "s3cret",
        "HUBSPOT_REFRESH_TOKEN": "r1",
    }
    found: ClassVar = EMAIL
    missing: ClassVar = NO_EMAIL
    variables: ClassVar = {"customer_name": "Lin", "customer_stage": "customer"}
    none: ClassVar = {"customer_name": "guest", "customer_stage": ""}

    def token(self, request: web.BaseRequest, text: str) -> web.StreamResponse | None:
        """Answer /oauth/v1/token."""
        if request.path != "/oauth/v1/token":
            return None
        self.want(that=parse_qs(text)["refresh_token"] == ["r1"], what="the refresh token")
        granted = {"token_type": "bearer", "refresh_token": "r1", "expires_in": 1800}
        return reply(granted | {"access_token": self.grant()})

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a search."""
        (group,) = json.loads(text)["filterGroups"]
        properties = {"firstname": "Lin", "lifecyclestage": "customer", "hs_object_id": "51"}
        result = {"id": "51", "properties": properties, "archived": False}
        results = [result] if group["filters"][0]["value"] == EMAIL["email"] else []
        return reply({"total": len(results), "results": results})

    def busy(self) -> web.StreamResponse:
        """Tell of the limit of a second."""
        said = {"status": "error", "errorType": "RATE_LIMIT", "policyName": "SECONDLY"}
        return reply(said | {"message": "You have reached your secondly limit."}, 429)

    def denied(self) -> web.StreamResponse:
        """Tell that the token has expired."""
        return reply({"status": "error", "category": "EXPIRED_AUTHENTICATION"}, 401)


class Dynamics(Emulator):
    """Dataverse Web API: annotations, and service protection limits."""

    example = "dynamics365"
    environ: ClassVar = {"TENANT": "t1", "DYNAMICS_CLIENT_ID": "id", "DYNAMICS_CLIENT_SECRET": "s3cret"}
    found: ClassVar = EMAIL
    missing: ClassVar = {"email": "o'neill@x' or 1 eq 1 or 'a"}
    variables: ClassVar = {"customer_name": "Lin Xia", "customer_type": "Default Value"}
    none: ClassVar = {"customer_name": "guest", "customer_type": ""}

    def token(self, request: web.BaseRequest, text: str) -> web.StreamResponse | None:
        """Answer the login of Microsoft."""
        if request.path != "/t1/oauth2/v2.0/token":
            return None
        self.want(that=parse_qs(text)["scope"][0].endswith("/.default"), what="the scope")
        return reply({"token_type": "Bearer", "expires_in": 3599, "access_token": self.grant()})

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a filter."""
        wanted = f"emailaddress1 eq '{EMAIL['email']}'"
        injected = "emailaddress1 eq 'o''neill@x'' or 1 eq 1 or ''a'"
        self.want(that=request.query["$filter"] in {wanted, injected}, what=request.query["$filter"])
        formatted = "customertypecode@OData.Community.Display.V1.FormattedValue"
        contact = {"fullname": "Lin Xia", "customertypecode": 1, formatted: "Default Value"}
        return reply(
            {"@odata.context": "x", "value": [contact] if request.query["$filter"] == wanted else []}
        )


class Zendesk(Emulator):
    """Search API, with an API token that nobody renews."""

    example = "zendesk"
    environ: ClassVar = {"ZENDESK_EMAIL": "desk@example.com", "ZENDESK_TOKEN": "good"}
    found: ClassVar = EMAIL
    missing: ClassVar = NO_EMAIL
    variables: ClassVar = {
        "ticket_id": "35436",
        "ticket_status": "open",
        "ticket_updated": "29.02.2024 20:30",
    }
    none: ClassVar = {"ticket_id": "", "ticket_status": "none", "ticket_updated": ""}
    renews = False

    def __init__(self) -> None:
        """Begin with the token."""
        super().__init__()
        self.good = "good"

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Look at user and token."""
        return basic(request) == f"desk@example.com/token:{self.good}"

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a search."""
        ticket = {
            "id": 35436,
            "status": "open",
            "updated_at": "2024-02-29T12:30:00Z",
            "result_type": "ticket",
        }
        results = [ticket] if request.query["query"] == "type:ticket requester:lin@example.com" else []
        return reply({"results": results, "count": len(results), "next_page": None})

    def denied(self) -> web.StreamResponse:
        """Refuse."""
        return reply({"error": "Couldn't authenticate you"}, 401)


class ServiceNow(Emulator):
    """Table API; a transaction that is cancelled has status 200."""

    example = "servicenow"
    environ: ClassVar = {"SERVICENOW_CLIENT_ID": "id", "SERVICENOW_CLIENT_SECRET": "s3cret"}
    found: ClassVar = {"number": "INC0010001"}
    missing: ClassVar = {"number": "INC0099999"}
    variables: ClassVar = {"incident_state": "In Progress", "incident_opened": "2024-02-29 12:30:00"}
    none: ClassVar = {"incident_state": "none", "incident_opened": ""}

    def token(self, request: web.BaseRequest, text: str) -> web.StreamResponse | None:
        """Answer /oauth_token.do."""
        if request.path != "/oauth_token.do":
            return None
        return reply({"access_token": self.grant(), "token_type": "Bearer", "expires_in": 1799, "scope": "x"})

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer an encoded query."""
        incident = {"state": "In Progress", "opened_at": "2024-02-29 12:30:00"}
        return reply({"result": [incident] if request.query["sysparm_query"] == "number=INC0010001" else []})

    def denied(self) -> web.StreamResponse:
        """Refuse."""
        said = {"message": "User Not Authenticated", "detail": "Required to provide Auth information"}
        return reply({"error": said, "status": "failure"}, 401)


class Sap(Emulator):
    """OData V2: decimals as texts, dates as /Date(…)/, errors of the gateway."""

    example = "sap-odata"
    environ: ClassVar = {"SAP_USER": "DESK", "SAP_PASSWORD": "good"}
    found: ClassVar = {"orderId": "1"}
    missing: ClassVar = {"orderId": "404"}
    variables: ClassVar = {"order_status": "C", "order_total": "17.50", "order_created": "05.04.2024"}
    none: ClassVar = {"order_status": "none", "order_total": "", "order_created": ""}
    renews = False

    def __init__(self) -> None:
        """Begin with the password."""
        super().__init__()
        self.good = "good"

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Look at user and password."""
        return basic(request) == f"DESK:{self.good}"

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a key."""
        if request.path.endswith("A_SalesOrder('1')"):
            order = {"OverallSDProcessStatus": "C", "TotalNetAmount": "17.50"}
            return reply({"d": order | {"CreationDate": "/Date(1712275200000)/"}})
        message = {"lang": "en", "value": "Resource not found for segment 'A_SalesOrderType'"}
        return reply({"error": {"code": "/IWBEP/CM_MGW_RT/020", "message": message}}, 404)


class Odoo(Emulator):
    """JSON-RPC: errors with status 200, false for an empty field."""

    example = "odoo"
    environ: ClassVar = {"ODOO_DB": "prod", "ODOO_KEY": "good"}
    found: ClassVar = PHONE
    missing: ClassVar = NOBODY
    variables: ClassVar = {"customer_name": "Lin Xia", "customer_city": ""}
    none: ClassVar = {"customer_name": "guest", "customer_city": ""}
    renews = throttles = False

    def __init__(self) -> None:
        """Begin with the key."""
        super().__init__()
        self.good = "good"

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Look at the key among the arguments."""
        return bool(json.loads(text)["params"]["args"][:3] == ["prod", 2, self.good])

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer search_read."""
        _, _, _, model, method, domain, options = json.loads(text)["params"]["args"]
        self.want(that=(model, method) == ("res.partner", "search_read"), what=method)
        self.want(that=options == {"fields": ["name", "city"], "limit": 1}, what="the options")
        partner = {"id": 14, "name": "Lin Xia", "city": False}
        there = domain == [[["phone", "=", PHONE["phone"]]]]
        return reply({"jsonrpc": "2.0", "id": 1, "result": [partner] if there else []})

    def denied(self) -> web.StreamResponse:
        """Refuse."""
        data = {"name": "odoo.exceptions.AccessDenied", "message": "Access Denied", "debug": "Traceback"}
        error = {"code": 200, "message": "Odoo Server Error", "data": data}
        return reply({"jsonrpc": "2.0", "id": 1, "error": error})


class WeCom(Emulator):
    """Every error has status 200 and an errcode."""

    example = "wecom"
    environ: ClassVar = {"WECOM_CORP": "c1", "WECOM_SECRET": "s3cret"}
    found: ClassVar = {"externalUserId": "woAJ2GCAAAXtWyujaWJHDDGi0mACAAAA"}
    missing: ClassVar = {"externalUserId": "woNobody"}
    variables: ClassVar = {"customer_name": "李四", "customer_company": "腾讯"}
    none: ClassVar = {"customer_name": "guest", "customer_company": ""}

    def token(self, request: web.BaseRequest, text: str) -> web.StreamResponse | None:
        """Answer gettoken."""
        if request.path != "/cgi-bin/gettoken":
            return None
        self.want(that=dict(request.query) == {"corpid": "c1", "corpsecret": "s3cret"}, what="the secret")
        return reply({"errcode": 0, "errmsg": "ok", "access_token": self.grant(), "expires_in": 7200})

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Look at the query."""
        return request.query.get("access_token") == self.good

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer externalcontact/get."""
        if request.query["external_userid"] != self.found["externalUserId"]:
            return reply({"errcode": 84061, "errmsg": "not external contact"})
        contact = {"external_userid": "x", "name": "李四", "corp_name": "腾讯", "type": 2}
        return reply({"errcode": 0, "errmsg": "ok", "external_contact": contact, "follow_user": []})

    def busy(self) -> web.StreamResponse:
        """Tell of the limit."""
        return reply({"errcode": 45009, "errmsg": "reach max api daily quota limit"})

    def denied(self) -> web.StreamResponse:
        """Tell that the token has expired."""
        return reply({"errcode": 42001, "errmsg": "access_token expired"})


class DingTalk(Emulator):
    """Errors of the new API: a status, and a code of words."""

    example = "dingtalk"
    environ: ClassVar = {"DINGTALK_KEY": "k1", "DINGTALK_SECRET": "s3cret"}
    found: ClassVar = {"unionId": "z21HjQliSzpw0Yxxxx"}
    missing: ClassVar = {"unionId": "nobody"}
    variables: ClassVar = {"member_name": "张三", "member_mobile": "150xxxx9144"}
    none: ClassVar = {"member_name": "guest", "member_mobile": ""}

    def token(self, request: web.BaseRequest, text: str) -> web.StreamResponse | None:
        """Answer accessToken."""
        if request.path != "/v1.0/oauth2/accessToken":
            return None
        self.want(that=json.loads(text) == {"appKey": "k1", "appSecret": "s3cret"}, what="the secret")
        return reply({"accessToken": self.grant(), "expireIn": 7200})

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Look at the header."""
        return request.headers.get("x-acs-dingtalk-access-token") == self.good

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a member."""
        if request.path != f"/v1.0/contact/users/{self.found['unionId']}":
            return reply({"code": "invalidParameter.unionId.notFound", "requestid": "x", "message": "x"}, 400)
        return reply({"nick": "张三", "unionId": "x", "mobile": "150xxxx9144", "stateCode": "86"})

    def busy(self) -> web.StreamResponse:
        """Tell of the limit."""
        return reply({"code": "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "message": "x"}, 403)

    def denied(self) -> web.StreamResponse:
        """Tell that the token is none."""
        return reply({"code": "InvalidAuthentication", "message": "不合法的access_token"}, 400)


class Shopify(Emulator):
    """GraphQL: errors with status 200."""

    example = "shopify"
    environ: ClassVar = {"SHOPIFY_TOKEN": "good"}
    found: ClassVar = {"orderName": "#1001"}
    missing: ClassVar = {"orderName": "9"}
    variables: ClassVar = {"order_status": "FULFILLED", "order_total": "29.90", "order_date": "29.02.2024"}
    none: ClassVar = {"order_status": "none", "order_total": "", "order_date": ""}
    renews = False

    def __init__(self) -> None:
        """Begin with the token."""
        super().__init__()
        self.good = "good"

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Look at the header."""
        return request.headers.get("X-Shopify-Access-Token") == self.good

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a query."""
        sent = json.loads(text)
        self.want(
            that=sent["query"].startswith("query($name: String!) { orders(first: 1"), what=sent["query"]
        )
        order = {
            "displayFulfillmentStatus": "FULFILLED",
            "createdAt": "2024-02-29T12:30:00Z",
            "totalPriceSet": {"shopMoney": {"amount": "29.90"}},
        }
        nodes = [order] if sent["variables"] == {"name": "name:#1001"} else []
        return reply({"data": {"orders": {"nodes": nodes}}, "extensions": {"cost": {}}})

    def busy(self) -> web.StreamResponse:
        """Tell of the limit."""
        return reply({"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]})

    def denied(self) -> web.StreamResponse:
        """Refuse."""
        return reply({"errors": "[API] Invalid API key or access token"}, 401)


class Kingdee(Emulator):
    """Signed parameters; errors with status 200."""

    example = "kingdee"
    environ: ClassVar = {"ERP_KEY": "k1", "ERP_SECRET": "good"}
    found: ClassVar = {"orderId": "客1"}
    missing: ClassVar = {"orderId": "9"}
    variables: ClassVar = {"order_status": "TRADE_FINISHED", "order_total": "29.90"}
    none: ClassVar = {"order_status": "none", "order_total": ""}
    renews = False

    def __init__(self) -> None:
        """Begin with the secret."""
        super().__init__()
        self.good = "good"

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Work out the signature as the documentation says."""
        query = dict(request.query)
        sign = query.pop("sign")
        pairs = "".join(f"{name}{query[name]}" for name in sorted(query))
        over = f"{self.good}{pairs}{self.good}".encode()
        return sign == hashlib.md5(over, usedforsecurity=False).hexdigest().upper()

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer a trade."""
        self.want(that=len(request.query["timestamp"]) == 19, what=request.query["timestamp"])
        if request.query["tid"] == self.found["orderId"]:
            return reply({"trade": {"status": "TRADE_FINISHED", "payment": "29.90"}})
        return reply({"error_response": {"code": 15, "sub_code": "isv.trade-not-exist", "msg": "x"}})

    def busy(self) -> web.StreamResponse:
        """Tell of the limit."""
        return reply({"error_response": {"code": 7, "msg": "App Call Limited"}})

    def denied(self) -> web.StreamResponse:
        """Refuse the signature."""
        return reply({"error_response": {"code": 25, "msg": "Invalid signature"}})


class Soap(Emulator):
    """SOAP 1.1: faults with status 500."""

    example = "soap"
    environ: ClassVar = {"SOAP_USER": "desk", "SOAP_PASSWORD": "good"}
    found: ClassVar = {"orderId": "1<2"}
    missing: ClassVar = {"orderId": "9"}
    variables: ClassVar = {"order_status": "shipped", "order_total": "29.90"}
    none: ClassVar = {"order_status": "none", "order_total": ""}
    renews = False

    def __init__(self) -> None:
        """Begin with the password."""
        super().__init__()
        self.good = "good"

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Look at user and password."""
        return basic(request) == f"desk:{self.good}"

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer GetOrder."""
        action = request.headers["SOAPAction"]
        self.want(that=action == '"http://example.com/orders/GetOrder"', what=action)
        there = "<m:Id>1&lt;2</m:Id>" in text
        order = (
            "<m:Status>shipped</m:Status><m:Total>29.90</m:Total>" if there else "<m:Found>false</m:Found>"
        )
        body = (
            '<?xml version="1.0"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:m="http://example.com/orders"><soap:Body><m:GetOrderResponse>'
            f"{order}</m:GetOrderResponse></soap:Body></soap:Envelope>"
        )
        return web.Response(text=body, content_type="text/xml")


class TwoSteps(Emulator):
    """Any REST API with a key."""

    example = "two-steps"
    environ: ClassVar = {"CRM_KEY": "good"}
    found: ClassVar = PHONE
    missing: ClassVar = {"phone": "12345"}
    variables: ClassVar = {"customer_name": "Lin Xia", "order_count": "2", "last_status": "shipped"}
    none: ClassVar = {"customer_name": "New", "order_count": "0", "last_status": ""}
    renews = False

    def __init__(self) -> None:
        """Begin with the key."""
        super().__init__()
        self.good = "good"

    def accepts(self, request: web.BaseRequest, text: str) -> bool:
        """Look at the header."""
        return request.headers.get("X-Api-Key") == self.good

    def answer(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        """Answer customers, and their orders."""
        if request.path == "/customers":
            known = request.query["phone"] == PHONE["phone"]
            return reply([{"id": 7, "name": "Lin Xia"} if known else {"id": 8, "name": "New"}])
        return reply(
            [{"status": "shipped"}, {"status": "new"}] if request.path == "/customers/7/orders" else []
        )


VENDORS: list[type[Emulator]] = [
    *(Salesforce, SalesforceJwt, HubSpot, Dynamics, Zendesk, ServiceNow, Sap, Odoo),
    *(WeCom, DingTalk, Shopify, Kingdee, Soap, TwoSteps),
]
