"""Runs learn the hash of what they do apart from their seed; those that are there get theirs."""

from django.db import migrations, models

from apps.spec.seeds import configuration_hash


def fill(apps, schema_editor):
    runs = apps.get_model('experiments', 'Run').objects
    for key, spec in runs.values_list('pk', 'spec').iterator(chunk_size=500):
        runs.filter(pk=key).update(configuration_hash=configuration_hash(spec))


class Migration(migrations.Migration):

    dependencies = [
        ('experiments', '0002_lineage_and_resume'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='configuration_hash',
            field=models.CharField(blank=True, editable=False, help_text='Of the spec without its seed.', max_length=32),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['experiment', 'configuration_hash', 'seed'], name='run_same'),
        ),
    ]
