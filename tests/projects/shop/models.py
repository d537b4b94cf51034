"""What the shop sells, and what people say of it."""

from django.db import models


class Product(models.Model):
    """An article."""

    name = models.CharField(max_length=200)
    stock = models.IntegerField(default=0)
    leaflet = models.FileField(upload_to="leaflets", blank=True)

    def __str__(self) -> str:
        return self.name


class Review(models.Model):
    """What somebody says of an article."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:40]
