"""deskgate: answers each Tencent Cloud Desk callback within its budget, even if the CRM behind it fails."""
