from typing import ClassVar

from django.db import migrations, models
from django.db.models import Q

# Each index that a publish writes makes publishing slower, so one leaves out what is live.
NOT_LIVE = ~Q(status="published")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0005_fill_story_search")]

    operations: ClassVar = [
        migrations.AddIndex(model_name=model, index=index)
        for model in ("notice", "story")
        for index in (
            models.Index(fields=["status", "publish_at", "id"], name=f"{model}_wanted"),
            models.Index(
                fields=["status", "published_at", "id"],
                name=f"{model}_was_live",
                condition=NOT_LIVE,
            ),
        )
    ]
