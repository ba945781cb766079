"""The connection to a Dask cluster: opened within seconds, or refused with one line."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corpuscle.errors import MethodError, OptionError

__all__ = ["CONNECT_S", "address_of", "connect", "worker_timeout"]

#: Seconds in which a scheduler has to answer.
CONNECT_S = 10
#: The Dask option for how long to wait for a worker, and what it is where nobody set it.
TIMEOUT_OPTION, TIMEOUT = "corpuscle.worker-timeout", "120 s"


@contextmanager
def connect(scheduler: Any) -> Iterator[Any]:
    """Yield a client that has at least one worker; close it afterwards unless it was given.

    Parameters
    ----------
    scheduler
        Address, path of a scheduler file, or a ``dask.distributed.Client`` or cluster.

    Raises
    ------
    MethodError
        ``distributed`` is missing, nobody answers, or there is no worker in time.
    OptionError
        ``scheduler`` is none of these, a damaged scheduler file, or a client for ``async`` code.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MethodError(
            "a Dask scheduler needs the package distributed: pip install 'corpuscle[distributed]'"
        ) from None
    if isinstance(scheduler, Client):
        if scheduler.asynchronous:
            raise OptionError("the Dask client is asynchronous; give one made without asynchronous=True")
        _wait_for_worker(scheduler)
        yield scheduler
        return
    client = _open(scheduler)
    try:
        _wait_for_worker(client)
        yield client
    finally:
        client.close()


def worker_timeout() -> float:
    """Seconds to wait for a worker where there is none.

    Raises
    ------
    OptionError
        The Dask option is not a time.
    """
    import dask
    from dask.utils import parse_timedelta

    given = dask.config.get(TIMEOUT_OPTION, TIMEOUT)
    try:
        return float(parse_timedelta(given, default="s"))
    except (KeyError, TypeError, ValueError):
        raise OptionError(f"Dask option {TIMEOUT_OPTION}: {given!r} is not a time, such as '5 minutes'") from None


def address_of(client: Any) -> str:
    """Address of the scheduler of a client."""
    return str(client.scheduler.address) if client.scheduler is not None else "(closed)"


def _open(scheduler: Any) -> Any:
    """Connect, with what Dask says of versions that differ as one line."""
    from distributed import Client

    address = _address(scheduler)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            client = Client(address, timeout=CONNECT_S, set_as_default=False, name="corpuscle")
    except (OSError, TypeError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MethodError(
            f"no Dask scheduler answers at {scheduler} ({reason}); check the address, and that it runs"
        ) from error
    for one in said:
        warnings.warn(" ".join(str(one.message).split()), one.category, stacklevel=2)
    return client


def _address(scheduler: Any) -> Any:
    """What ``Client`` wants: the address, also where it is in a scheduler file, or a cluster object as it is."""
    if hasattr(scheduler, "scheduler_address"):
        return scheduler
    if not isinstance(scheduler, str | os.PathLike):
        raise OptionError(f"scheduler {scheduler!r} is no address, scheduler file or dask.distributed.Client")
    text = os.fspath(scheduler)
    if Path(text).is_file():
        try:
            return str(json.loads(Path(text).read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError):
            raise OptionError(f"{text}: is no scheduler file of Dask; give the one that dask scheduler wrote") from None
    if ":" not in text:
        raise OptionError(f"scheduler {text!r} is no address, such as tcp://host:8786, and no scheduler file")
    return text


def _wait_for_worker(client: Any) -> None:
    timeout = worker_timeout()
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError:
        raise MethodError(
            f"Dask scheduler {address_of(client)}: no worker in {timeout:g} s; start some (dask worker ADDRESS), or set "
            "DASK_CORPUSCLE__WORKER_TIMEOUT to wait longer"
        ) from None
