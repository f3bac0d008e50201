"""deskgate: answers a Tencent Cloud Desk callback inside its budget, whatever the CRM behind it does."""
