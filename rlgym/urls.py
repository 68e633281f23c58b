"""Which room answers which address."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from apps.api.router import api
from apps.dashboard.login.views import StaffLoginPage
from apps.live.sse import stream

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/login/", StaffLoginPage.as_view()),  # In the place of the admin's own.
    path("admin/", admin.site.urls),
    path("api/v1/runs/<str:run_id>/stream", stream, name="run-stream"),
    path("api/v1/", api.urls),
    path("", include("apps.dashboard.urls")),
]

handler500 = "apps.dashboard.broken.server_error"
