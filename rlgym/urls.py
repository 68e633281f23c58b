"""Which room answers which address."""

from django.urls import path

urlpatterns: list = []
