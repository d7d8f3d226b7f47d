"""The count of arrows between groups of modules."""

from tools.arrows import MOST_ARROWS, group_of_the_engine, group_of_the_project, problem


class TestAPicture:
    def test_without_a_circle_and_of_few_arrows_passes(self) -> None:
        assert problem({"api": {"models"}, "models": set()}) == ""

    def test_with_a_circle_names_it(self) -> None:
        assert "models -> queue -> models" in problem(
            {"models": {"queue"}, "queue": {"models"}}
        ) + problem({"queue": {"models"}, "models": {"queue"}})

    def test_with_too_many_arrows_says_how_many(self) -> None:
        arrows = {"api": {f"group{number}" for number in range(MOST_ARROWS + 1)}}

        assert problem(arrows) == f"{MOST_ARROWS + 1} arrows, more than {MOST_ARROWS}"


class TestAModule:
    def test_of_the_engine_belongs_to_its_folder(self) -> None:
        assert group_of_the_engine("scheduling.worker.heartbeat") == "worker"

    def test_of_the_ground_or_of_elsewhere_belongs_to_no_group(self) -> None:
        modules = ("scheduling", "scheduling.conf", "scheduling.migrations.0001", "content.admin")

        assert [group_of_the_engine(module) for module in modules] == [None] * 4

    def test_of_the_project_belongs_to_one_of_its_parts(self) -> None:
        modules = ("armo.run", "armo.common.api.views", "armo.accounts.zones", "content.admin")

        assert [group_of_the_project(module) for module in modules] == [
            "armo",
            "armo.common",
            "armo.accounts",
            "content",
        ]
