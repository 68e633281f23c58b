"""Evaluations name what is not finite, and why they have fewer episodes than asked."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("experiments", "0013_evaluations_are_cancelled")]

    operations = [
        migrations.AddField(
            model_name='evaluation',
            name='interrupted',
            field=models.CharField(blank=True, help_text='Why it was.', max_length=200),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='n_played',
            field=models.PositiveIntegerField(help_text='Episodes that ended; fewer than asked when it was interrupted.', null=True),
        ),
        migrations.AddField(
            model_name='evaluation',
            name='special',
            field=models.JSONField(default=dict, help_text='Of those that are not finite, and null: nan, inf or -inf.'),
        ),
    ]
