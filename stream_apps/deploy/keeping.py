"""The former name of `stack_hooks`: an installation that was not made anew since still has it as its entry point."""

from stream_apps.deploy.stack_hooks import begin, data, end, needs

__all__ = ["begin", "data", "end", "needs"]
