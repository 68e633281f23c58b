"""What every page has in common: the admin's frame around it."""

from typing import Any, TypeVar

from django.contrib import admin
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

PAGE_SIZE = 50
M = TypeVar("M", bound=Model)


def show(
    request: HttpRequest, template: str, title: str, status: int = 200, **context: Any
) -> HttpResponse:
    """Show a page in the admin's frame, without the admin's own sidebar."""
    frame = admin.site.each_context(request)
    frame.update(title=title, is_nav_sidebar_enabled=False, **context)
    return render(request, template, frame, status=status)


def page_of(request: HttpRequest, rows: QuerySet[M], size: int = PAGE_SIZE) -> Page[M]:
    """Return the page of rows that `?page=` asks for, the nearest one when there is none such."""
    return Paginator(rows, size).get_page(request.GET.get("page"))
