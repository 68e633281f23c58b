"""Films wait, run, fail and are cancelled as evaluations are."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("experiments", "0014_returns_that_are_not_finite")]

    operations = [
        migrations.RemoveConstraint(
            model_name='video',
            name='video_once_a_file',
        ),
        migrations.AddField(
            model_name='video',
            name='attempt',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='video',
            name='beat_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='video',
            name='beats',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='video',
            name='cut',
            field=models.TextField(blank=True, help_text='What of the evaluation it does not show.'),
        ),
        migrations.AddField(
            model_name='video',
            name='error',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='video',
            name='finished_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='video',
            name='owner',
            field=models.CharField(blank=True, editable=False, max_length=200),
        ),
        migrations.AddField(
            model_name='video',
            name='started_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='video',
            name='status',
            field=models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('completed', 'Completed'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='completed', max_length=12),
        ),
        migrations.AlterField(
            model_name='video',
            name='duration_s',
            field=models.FloatField(null=True),
        ),
        migrations.AlterField(
            model_name='video',
            name='height',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name='video',
            name='path',
            field=models.CharField(blank=True, help_text="Path inside the run's directory.", max_length=200),
        ),
        migrations.AlterField(
            model_name='video',
            name='poster_path',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name='video',
            name='size_bytes',
            field=models.PositiveBigIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name='video',
            name='width',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddIndex(
            model_name='video',
            index=models.Index(fields=['status', 'created_at'], name='video_status_created'),
        ),
        migrations.AddConstraint(
            model_name='video',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['queued', 'running', 'completed', 'failed', 'cancelled'])), name='video_status_is_known'),
        ),
        migrations.AddConstraint(
            model_name='video',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'completed'), _negated=True), models.Q(('path', ''), _negated=True), _connector='OR'), name='finished_film_has_file'),
        ),
        migrations.AddConstraint(
            model_name='video',
            constraint=models.UniqueConstraint(condition=models.Q(('path', ''), _negated=True), fields=('run', 'path'), name='video_once_a_file'),
        ),
    ]
