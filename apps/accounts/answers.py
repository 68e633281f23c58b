"""Answers that are remembered, so that a request sent twice is carried out once.

A program that was not answered (the network, a time limit) cannot know whether its request was
carried out. With a key of its own (`Idempotency-Key`) it may ask again.
"""

from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction
from django.utils import timezone

REMEMBERED_FOR = timedelta(days=1)
MAX_KEY_LENGTH = 200


class AnswerQuerySet(models.QuerySet["Answer"]):
    def reserve(self, user: User, key: str, fingerprint: str) -> tuple["Answer", bool]:
        """Return the answer of a user's key, and whether it is still to be given by the caller."""
        forgotten_before = timezone.now() - REMEMBERED_FOR
        known = self.filter(user=user, key=key, created_at__gte=forgotten_before)
        while (found := known.first()) is None:
            with suppress(IntegrityError), transaction.atomic():  # Somebody else was first.
                self.filter(created_at__lt=forgotten_before).delete()
                return self.create(user=user, key=key, fingerprint=fingerprint), True
        return found, False


class Answer(models.Model):
    """What one request was answered; without a status it is being carried out."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    key = models.CharField(max_length=MAX_KEY_LENGTH)
    fingerprint = models.CharField(max_length=64, help_text="Hash of what was asked.")
    status = models.PositiveSmallIntegerField(null=True)
    content_type = models.CharField(max_length=100, blank=True)
    location = models.CharField(max_length=500, blank=True)
    content = models.BinaryField(default=bytes)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = AnswerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="answer_once_a_key"),
        ]

    def __str__(self) -> str:
        return f"answer to {self.key} of {self.user}"
