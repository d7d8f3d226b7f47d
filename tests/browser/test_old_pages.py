"""A page that stays open beside a colleague: its panel follows, its text does not."""

import pytest

from content.models import Story
from scheduling import operations
from tests.browser.conftest import NewPage
from tests.database_rows import row
from tests.factories import FAR_OFF, StoryFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("transactional_db")]


class TestAnOpenPage:
    def test_says_that_its_text_is_old_and_does_not_publish_another(self, sign_in: NewPage) -> None:
        story = StoryFactory(title="첫눈")
        page = sign_in()
        page.goto(f"/admin/content/story/{story.pk}/change/")
        other = row(story)
        other.body = "바뀐 본문"
        other.save()
        operations.schedule(item=other, run_at=FAR_OFF, by=None)

        # The panel has been made anew.
        page.wait_for_selector("aside .armo-badge.armo-scheduled", timeout=30_000)
        page.wait_for_selector("text=The text has changed meanwhile: this page does not show it.")
        page.click("aside summary:has-text('Publish now')")
        page.click("aside form[action$='/publish/'] button[type=submit]")

        page.wait_for_selector("text=The text was changed meanwhile, by somebody else.")
        assert not Story.objects.published().exists()

    def test_goes_by_the_times_that_its_panel_shows_by_now(self, sign_in: NewPage) -> None:
        story = StoryFactory(title="첫눈")
        page = sign_in()
        page.goto(f"/admin/content/story/{story.pk}/change/")
        operations.schedule(item=row(story), run_at=FAR_OFF, by=None)

        page.wait_for_selector("aside .armo-badge.armo-scheduled", timeout=30_000)
        page.click("aside summary:has-text('Publish now')")
        page.click("aside form[action$='/publish/'] button[type=submit]")

        page.wait_for_selector("text=It is live.")
