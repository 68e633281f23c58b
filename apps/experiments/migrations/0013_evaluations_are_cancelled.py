"""Evaluations can be cancelled, and say when they began."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("experiments", "0012_gpu_memory")]

    operations = [
        migrations.RemoveConstraint(
            model_name='evaluation',
            name='evaluation_status_is_known',
        ),
        migrations.AddField(
            model_name='evaluation',
            name='started_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name='evaluation',
            name='status',
            field=models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('completed', 'Completed'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=12),
        ),
        migrations.AddConstraint(
            model_name='evaluation',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['queued', 'running', 'completed', 'failed', 'cancelled'])), name='evaluation_status_is_known'),
        ),
    ]
