"""Lambda entry points. A package that was built for something else is refused before any of its libraries is loaded."""

from aetherstream import build, settings

build.check(build.about(), on_aws=settings.on_aws())
