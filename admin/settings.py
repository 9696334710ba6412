"""What the admin process reads from its environment."""

from admin.orgs.schemas import Plan
from service.settings import ProcessSettings


class AdminSettings(ProcessSettings):
    """`ProcessSettings` plus INAPP_DEFAULT_PLAN, the plan of a new org."""

    default_plan: Plan = "starter"
