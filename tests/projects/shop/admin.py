"""The shop in Django's admin."""

from django.contrib import admin

from shop.models import Product, Review


class ReviewInline(admin.TabularInline):
    """Reviews below their product."""

    model = Review
    extra = 0


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    """Products, to search and to list."""

    list_display = ("name", "stock")
    search_fields = ("name",)
    inlines = (ReviewInline,)
