"""The exceptions of SoA, drawn once.

    SoaError                    one sentence for a person: what happened, then what to do
    ├── UsageError              a malformed id, option or argument
    ├── Refused                 the job must not start or must not be applied
    │   ├── TargetMissing       no such function in the workspace
    │   ├── TargetBusy          another job writes this function
    │   ├── TargetChanged       the text was edited while the job ran
    │   ├── NoPytest            the workspace's interpreter has no pytest
    │   ├── NothingCollected    test files exist but pytest collects no test
    │   ├── BaselineHangs       a test does not finish before anything was changed
    │   └── NoSandbox           no sandbox on this machine and no consent to go without
    ├── LedgerBroken            the record of this workspace's jobs cannot be read or written
    └── ModelError              nobody answers; no later call would do better
        ├── NoModel             no model or endpoint is named, or several are offered
        ├── ModelUnreachable    refused, timed out, DNS, TLS, proxy, 5xx after retries
        └── KeyRefused          401 or 403
    ReplyError                  a reply that breaks its format; its text is written *to the model*
    └── HelpersWrong            the function is there; what came along with it is wrong
    CallFailed                  one call failed for good, others may not (content filter)
    ├── PromptTooLong           the model's context is shorter than the prompt; a shorter one may do
    └── (models.port.ReplyLost) the reply did not arrive whole, but was paid for

An expected failure (a red test, a malformed reply within its budget) is a value, not an exception.
"""


class SoaError(Exception):
    """One plain sentence for a person, without a line break: what happened, then what to do."""


class UsageError(SoaError):
    """A malformed function id, option or argument."""


class Refused(SoaError):
    """The job must not start, or its result must not be applied."""


class TargetMissing(Refused):
    """No function of that name stands in the workspace."""


class TargetBusy(Refused):
    """Another job is writing this function."""


class TargetChanged(Refused):
    """The target's text was edited while the job ran."""


class NoPytest(Refused):
    """The workspace's interpreter cannot import pytest."""


class NothingCollected(Refused):
    """Test files exist but pytest collects no test from them."""


class BaselineHangs(Refused):
    """A test does not finish although nothing was changed yet."""


class NoSandbox(Refused):
    """The machine offers no sandbox and nobody agreed to go without one."""


class LedgerBroken(SoaError):
    """The record of this workspace's jobs cannot be read or written."""


class ModelError(SoaError):
    """The model cannot be used at all; the job ends."""


class NoModel(ModelError):
    """No model or endpoint is named, or the server offers several."""


class ModelUnreachable(ModelError):
    """The model's server does not answer."""


class KeyRefused(ModelError):
    """The model's server refused the key."""


class ReplyError(Exception):
    """A reply that breaks its format. The message is addressed to the model, which is asked again."""


class HelpersWrong(ReplyError):
    """The function stands in the reply as asked for; what is wrong is what a Mother brings along with it."""


class CallFailed(Exception):
    """One call failed for good; the protocol sees it as a failed action and may go on."""


class PromptTooLong(CallFailed):
    """The prompt does not fit the model's context, which has `limit` tokens (0 where nobody said)."""

    def __init__(self, sentence: str, limit: int = 0) -> None:
        super().__init__(sentence)
        self.limit = limit
