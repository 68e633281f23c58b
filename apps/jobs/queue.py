"""The queue itself: one Huey instance on SQLite, in its own file.

A doorbell, not a record: Huey deletes a task before it runs and loses it on a kill, so a task only
says "look at the rows". Handing Huey an instance keeps `immediate` off whatever DEBUG says.
"""

from django.conf import settings
from huey import SqliteHuey

huey = SqliteHuey("rlgym", filename=str(settings.QUEUE_PATH), results=False, timeout=20)
