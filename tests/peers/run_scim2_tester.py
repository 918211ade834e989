"""run_scim2_tester.py BASE TOKEN: runs scim2-tester against a SCIM server.

Prints a line of JSON, {"failures": […], "deviations": […], "skipped": […]}, then `N passed, M failed`; ends with 1 when something failed.
What breaks a MUST of the RFCs fails; a deviation breaks a SHOULD, and is shown without counting as failed.
"""

import json
import sys
from collections import defaultdict

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

base, token = sys.argv[1].rstrip("/"), sys.argv[2]
client = httpx2.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False)
by_status = defaultdict(list)
try:
    results = check_server(SyncSCIMClient(client))
except Exception as error:  # the tester gives up where a server's discovery cannot be read
    by_status[Status.CRITICAL].append({"resource": None, "check": "scim2-tester itself", "reason": repr(error)})
    results = []
for result in results:
    by_status[result.status].append({"resource": result.resource_type, "check": result.title, "reason": str(result.reason or "")})

failures = by_status[Status.CRITICAL] + by_status[Status.ERROR]
passed = len(results) - len(failures) - len(by_status[Status.SKIPPED])
print(json.dumps({"failures": failures, "deviations": by_status[Status.DEVIATION], "skipped": by_status[Status.SKIPPED]}))
print(f"{max(passed, 0)} passed, {len(failures)} failed")
sys.exit(1 if failures or not passed else 0)
