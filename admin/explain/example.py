"""An explanation as the API gives it: a test compares it with a real one."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "shown": False,
    "reason": "not_in_audience",
    "summary": "It is not shown. The customer is not in “Free”. plan is “pro”; it would have to be “free”.",
    "at": "2026-05-28T20:26:40.000Z",
    "changesAt": None,
    "delaySeconds": 5,
    "customer": "known",
    "notes": [{"code": "on_device", "text": "Nothing was said about url: that is left to the device."}],
    "checks": [
        {
            "check": "status",
            "passes": True,
            "reason": None,
            "text": "It is published and active.",
            "changesAt": None,
            "details": {"reasons": [], "problems": [], "preparing": []},
        },
        {
            "check": "window",
            "passes": True,
            "reason": None,
            "text": "It has no start and no end.",
            "changesAt": None,
            "details": {"startsAt": None, "endsAt": None},
        },
        {
            "check": "audience",
            "passes": False,
            "reason": "not_in_audience",
            "text": "The customer is not in “Free”. plan is “pro”; it would have to be “free”.",
            "changesAt": None,
            "details": {
                "audiences": [
                    {
                        "id": "019b7f5e-0000-7000-8000-000000000002",
                        "name": "Free",
                        "member": False,
                        "conditions": [
                            {
                                "pointer": "",
                                "condition": {"trait": "plan", "op": "eq", "value": "free"},
                                "holds": False,
                                "decides": True,
                                "mustChange": True,
                                "value": "pro",
                                "text": "plan is “pro”; it would have to be “free”.",
                                "changesAt": None,
                                "audience": None,
                            }
                        ],
                        "leftOut": 0,
                    }
                ]
            },
        },
        {
            "check": "excluded_audiences",
            "passes": True,
            "reason": None,
            "text": "It excludes nobody.",
            "changesAt": None,
            "details": {"audiences": []},
        },
        {
            "check": "trigger_audience",
            "passes": True,
            "reason": None,
            "text": "It waits for no audience.",
            "changesAt": None,
            "details": {"audiences": []},
        },
        {
            "check": "url",
            "passes": True,
            "reason": None,
            "text": "No URL was given; it would have to start with “https://app.example.com/pricing”.",
            "changesAt": None,
            "details": {
                "pattern": {"op": "starts_with", "value": "https://app.example.com/pricing"},
                "given": None,
                "onDevice": True,
            },
        },
        {
            "check": "screen",
            "passes": True,
            "reason": None,
            "text": "It shows on every screen.",
            "changesAt": None,
            "details": {"pattern": None, "given": None, "onDevice": False},
        },
        {
            "check": "event",
            "passes": True,
            "reason": None,
            "text": "It waits for no event.",
            "changesAt": None,
            "details": {"eventType": None, "given": None, "where": [], "onDevice": False},
        },
        {
            "check": "frequency_cap",
            "passes": True,
            "reason": None,
            "text": "The customer saw it 0 times, which its frequency cap allows.",
            "changesAt": None,
            "details": {
                "cap": {"maxImpressions": 3, "perSeconds": None, "minIntervalSeconds": None, "stopAfter": []},
                "impressions": 0,
                "clicks": 0,
                "dismissals": 0,
                "lastImpressionAt": None,
            },
        },
        {
            "check": "slot",
            "passes": True,
            "reason": None,
            "text": "No other message is before it in the slot “banner:top”.",
            "changesAt": None,
            "details": {"slot": "banner:top", "outrankedBy": None},
        },
    ],
}
