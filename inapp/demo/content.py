"""What the demo's org is seeded with: audiences, customers and messages of a small product, Acme Reports."""

from datetime import UTC, datetime, timedelta
from typing import Any

CUSTOMERS = 500
BETA_TESTERS = "Beta testers"
WELCOME = "Welcome"
STARS = {
    "ada": {"name": "Ada", "plan": "free", "country": "GB", "exports": 14, "appVersion": "3.2.0"},
    "grace": {"name": "Grace", "plan": "pro", "country": "US", "exports": 230, "appVersion": "3.2.0"},
    "linus": {"name": "Linus", "plan": "trial", "country": "FI", "exports": 2, "appVersion": "2.9.1"},
}
"""The customers whom a visitor of the page can be."""

BETA_USER_IDS = ("grace", "customer_001", "customer_002", "customer_003")

_PLANS = ("free", "free", "free", "trial", "pro")
_COUNTRIES = ("DE", "US", "FR", "GB", "FI", "IN", "BR", "JP")

AUDIENCES: list[dict[str, Any]] = [
    {"name": "Free plan", "rule": {"trait": "plan", "op": "eq", "value": "free"}},
    {
        "name": "Free plan, exports a lot",
        "rule": {
            "all": [
                {"trait": "plan", "op": "eq", "value": "free"},
                {"trait": "exports", "op": "gte", "value": 10},
            ]
        },
    },
    {"name": "On trial", "rule": {"trait": "plan", "op": "eq", "value": "trial"}},
    {"name": "European Union", "rule": {"trait": "country", "op": "in", "value": ["DE", "FR", "FI"]}},
    {"name": "App older than 3.0", "rule": {"trait": "appVersion", "op": "version_lt", "value": "3.0"}},
    {
        "name": "Exported twice today",
        "rule": {"event": "report.exported", "count": {"op": "gte", "value": 2}, "within": "24h"},
    },
    {
        "name": "Active on the free plan",
        "rule": {"all": [{"trait": "plan", "op": "eq", "value": "free"}, {"event": "*", "within": "14d"}]},
    },
    {"name": BETA_TESTERS, "rule": None},
]


def customers() -> list[dict[str, Any]]:
    """The same 500 each time: the stars, then customers of every plan and country."""
    stars = [{"userId": user_id, "traits": dict(traits)} for user_id, traits in STARS.items()]
    return stars + [_customer(number) for number in range(1, CUSTOMERS - len(stars) + 1)]


def _customer(number: int) -> dict[str, Any]:
    return {
        "userId": f"customer_{number:03d}",
        "traits": {
            "name": f"Customer {number}",
            "plan": _PLANS[number % len(_PLANS)],
            "country": _COUNTRIES[number % len(_COUNTRIES)],
            "exports": number * 7 % 40,
            "appVersion": f"{2 + number % 2}.{number % 10}.0",
        },
    }


def messages(audience_ids: dict[str, str], now: datetime) -> list[dict[str, Any]]:
    """Every type, with every kind of trigger, schedule and cap. Times are relative to `now`."""

    def day(offset: int) -> str:
        return (now + timedelta(days=offset)).astimezone(UTC).isoformat(timespec="seconds")

    once = {"maxImpressions": 1}
    until_answered = {"stopAfter": ["click", "dismiss"]}
    return [
        {
            "name": WELCOME,
            "type": "banner",
            "content": {
                "title": "Welcome to Acme Reports",
                "body": "This banner was chosen by the rule engine and delivered from the edge.",
                "ctaText": "Got it",
            },
            "appearance": {"position": "top"},
            "priority": 40,
            "frequencyCap": until_answered,
            "goal": {"eventType": "report.exported", "withinSeconds": 86400},
        },
        {
            "name": "Upgrade nudge",
            "type": "modal",
            "content": {
                "title": "You export like a pro",
                "body": "Free reports stop at ten a month. Pro has no limit, and schedules them for you.",
                "ctaText": "See Pro",
                "ctaUrl": "https://example.com/pricing",
            },
            "trigger": {
                "eventType": "report.exported",
                "where": [{"property": "pages", "op": "gte", "value": 3}],
            },
            "audienceId": audience_ids["Free plan, exports a lot"],
            "appearance": {"position": "center", "backgroundColor": "#12263f", "textColor": "#ffffff"},
            "priority": 80,
            "frequencyCap": {
                "maxImpressions": 3,
                "perSeconds": 86400,
                "minIntervalSeconds": 10,
                "stopAfter": ["click"],
            },
        },
        {
            "name": "Scheduled exports",
            "type": "slideout",
            "content": {
                "title": "New: scheduled exports",
                "body": "Pick a weekday and an hour, and the report is in your inbox.",
                "ctaUrl": "https://example.com/changelog",
            },
            "trigger": {"delaySeconds": 3},
            "appearance": {"position": "bottom"},
            "frequencyCap": until_answered,
        },
        {
            "name": "Export tip",
            "type": "tooltip",
            "content": {"body": "Export the whole report with one click. PDF and CSV come together."},
            "trigger": {"url": {"op": "glob", "value": "*/reports*"}, "delaySeconds": 1},
            "appearance": {"position": "bottom", "theme": "dark", "anchor": "#export-button"},
            "frequencyCap": until_answered,
        },
        {
            "name": "Annual billing",
            "type": "banner",
            "content": {
                "title": "Two months free",
                "body": "Pay yearly and save 20 %.",
                "ctaText": "Switch to yearly",
                "ctaUrl": "https://example.com/billing",
            },
            "trigger": {"url": {"op": "contains", "value": "/pricing"}},
            "audienceId": audience_ids["Free plan"],
            "appearance": {"position": "bottom", "backgroundColor": "#0f766e", "textColor": "#ffffff"},
            "priority": 60,
            "frequencyCap": {"minIntervalSeconds": 30, "stopAfter": ["click"]},
        },
        {
            "name": "Checkout help",
            "type": "modal",
            "content": {
                "title": "Stuck at checkout?",
                "body": "Tell us what is missing and a person answers within the hour.",
                "ctaText": "Write to us",
                "ctaUrl": "mailto:help@example.com",
            },
            "trigger": {"eventType": "checkout.viewed", "delaySeconds": 2},
            "appearance": {"position": "center", "theme": "light"},
            "priority": 70,
            "frequencyCap": {"maxImpressions": 2},
        },
        {
            "name": "New editor",
            "type": "slideout",
            "content": {
                "title": "You are on the beta list",
                "body": "The new editor is ready for you. It opens your old reports as they are.",
                "ctaText": "Open the editor",
                "ctaUrl": "https://example.com/editor",
            },
            "audienceId": audience_ids[BETA_TESTERS],
            "appearance": {"position": "top", "theme": "dark"},
            "priority": 65,
            "frequencyCap": until_answered,
        },
        {
            "name": "Twice today",
            "type": "slideout",
            "content": {
                "title": "Two exports today",
                "body": "Acme can send this report by itself, every morning.",
                "ctaText": "Set it up",
            },
            "audienceId": audience_ids["Exported twice today"],
            "appearance": {"position": "top"},
            "priority": 62,
            "frequencyCap": until_answered,
        },
        {
            "name": "Trial ends soon",
            "type": "banner",
            "content": {"title": "Your trial ends on Friday", "body": "Keep your reports by choosing a plan."},
            "audienceId": audience_ids["On trial"],
            "appearance": {"position": "top", "backgroundColor": "#7c2d12", "textColor": "#ffffff"},
            "priority": 75,
            "frequencyCap": {"minIntervalSeconds": 60},
        },
        {
            "name": "Where your data is",
            "type": "slideout",
            "content": {
                "title": "Your data stays in the EU",
                "body": "Reports of customers in the European Union are stored in Frankfurt.",
                "ctaText": "Good",
            },
            "audienceId": audience_ids["European Union"],
            "appearance": {"position": "bottom", "theme": "light"},
            "priority": 55,
            "frequencyCap": once,
        },
        {
            "name": "Please update",
            "type": "modal",
            "content": {
                "title": "A new version is here",
                "body": "Version 3 is faster and keeps your exports when you close the window.",
                "ctaText": "What is new",
                "ctaUrl": "https://example.com/3.0",
            },
            "audienceId": audience_ids["App older than 3.0"],
            "appearance": {"position": "center", "theme": "auto"},
            "priority": 45,
            "frequencyCap": {"maxImpressions": 1, "perSeconds": 604800},
        },
        {
            "name": "Pricing tip",
            "type": "tooltip",
            "content": {"body": "Pro also schedules exports.", "ctaText": "Thanks"},
            "excludeAudienceIds": [audience_ids["On trial"]],
            "trigger": {"url": {"op": "glob", "value": "*/pricing*"}, "delaySeconds": 2},
            "appearance": {"position": "top", "anchor": "[data-testid='nav-pricing']"},
            "frequencyCap": until_answered,
        },
        {
            "name": "Maintenance on the weekend",
            "type": "banner",
            "content": {"body": "Exports pause for an hour on Saturday night."},
            "appearance": {"position": "center", "theme": "dark"},
            "startsAt": day(2),
            "endsAt": day(4),
            "slot": "service-notice",
        },
        {
            "name": "Spring sale",
            "type": "banner",
            "content": {"title": "Spring sale", "body": "30 % off until Sunday."},
            "appearance": {"position": "bottom"},
            "startsAt": day(-30),
            "endsAt": day(-20),
        },
        {
            "name": "Survey",
            "type": "modal",
            "content": {"title": "One question", "body": "How likely are you to recommend Acme Reports?"},
            "appearance": {"position": "center"},
            "active": False,
        },
        {
            "name": "Referral idea",
            "type": "slideout",
            "draft": True,
            "content": {"title": "Bring a colleague", "body": "You both get a month of Pro."},
            "appearance": {"position": "top"},
        },
    ]
