"""Consumer groups that nobody uses any more."""

from __future__ import annotations

import time

from confluent_kafka import KafkaError, KafkaException

from olist.errors import ServerTrouble
from olist.kafka_client import words_of
from olist.settings import Settings
from olist.topics.admin import TIMEOUT_S, admin_client
from stream_apps.deploy.lag import SETTLING

GONE = (KafkaError.GROUP_ID_NOT_FOUND,)
PASSING = (KafkaError.NON_EMPTY_GROUP, *SETTLING)
LEAVING_S = 75.0
"""A member that was killed, or has a name of its own, is counted until its session ends; one that was joining then, for
as long as the others have to join: Faust's minute."""
PAUSE_S = 0.5


def delete_group(settings: Settings, group: str) -> None:
    """Delete a group and its offsets; one that is not there is gone already.

    Raises:
        ServerTrouble: Kafka does not answer, or the group still has members.
    """
    admin = admin_client(settings)
    deadline = time.monotonic() + settings.session_timeout_ms / 1000 + LEAVING_S
    while True:
        try:
            admin.delete_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result()
        except KafkaException as error:
            code = error.args[0].code()
            if code in GONE:
                return
            if code not in PASSING or time.monotonic() > deadline:
                raise ServerTrouble("kafka", f"group {group} was not deleted: {words_of(error)}") from error
            time.sleep(PAUSE_S)
        else:
            return
