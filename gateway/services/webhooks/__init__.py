"""Webhooks: which events go where, and getting them there.

endpoints    what an account's events go to, from settings, accounts and routes
expressions  JMESPath with a bound on its work: filters and mappings of routes
requests     what is sent: headers, signatures
schedule     when a failed delivery is tried again
permits      how much one endpoint may occupy of a worker
wake         has jobs queued for what is new
delivery     the job: everything that is new to one endpoint in one account's log, in order
farewells    the last event of an account that is gone
routes       routes as the API shows and changes them
replay       events delivered again, and test events
"""
