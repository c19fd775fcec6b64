"""Ask a language model about each of many tickets, with rate limits and retries; pay for no answer twice.

    pip install "skipstone[examples]"
    python stand_in.py &                # in place of a model that costs money
    python llm/classify.py

Stop it whenever you like and start it again. Change PROMPT, and all tickets are asked anew; change it back, and the old
answers are there.
"""

import argparse
import asyncio
import collections
import functools
import logging

import httpx
import stamina

from skipstone import cache_with_checkpoint, init_checkpoint, note

PROMPT = "Which team should handle this ticket? Answer with one word: billing, bug, wish or other.\n\n"
TEXTS = [
    "I was charged twice, I want a refund",
    "The app shows an error when I log in",
    "Please add a dark theme",
    "Where is your office?",
    "My invoice has the wrong address",
    "This damn thing does not work",
]


# The id names all that the answer depends on. The client is not part of it.
@cache_with_checkpoint(id="(model, prompt, ticket)")
async def classify(client: httpx.AsyncClient, model: str, prompt: str, ticket: str) -> str:
    """Return the team that a ticket is for, or "refused"."""
    message = {"role": "user", "content": prompt + ticket}
    response = await client.post("", json={"model": model, "messages": [message]})
    if response.status_code == httpx.codes.BAD_REQUEST:  # an answer, too: the same would come tomorrow
        return "refused"
    response.raise_for_status()
    answer = response.json()
    note(tokens=answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"])
    return answer["choices"][0]["message"]["content"]


def is_worth_a_retry(error: Exception) -> bool | float:
    """Tell whether another attempt may help, or after how many seconds."""
    if isinstance(error, httpx.HTTPStatusError):
        wait = error.response.headers.get("Retry-After")
        return float(wait) if wait else error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Classify tickets with a language model.")
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1/chat/completions")
    parser.add_argument("--tickets", type=int, default=600)
    options = parser.parse_args()
    logging.getLogger("stamina").setLevel(logging.ERROR)  # it warns of each retry
    tickets = [f"Ticket {number}: {TEXTS[number % len(TEXTS)]}" for number in range(options.tickets)]

    checkpoint = init_checkpoint("classify", {"artifacts_dir": "artifacts", "index_name": "tickets"})
    # What eight attempts do not mend, such as a wrong address, ends the program; what was answered is kept.
    retry = stamina.AsyncRetryingCaller(attempts=8, timeout=60).on(is_worth_a_retry)
    async with httpx.AsyncClient(base_url=options.url, timeout=30) as client:
        ask = functools.partial(classify, client, "stand-in-1", PROMPT)
        answers = checkpoint.map_async(ask, tickets, concurrency=20, retry=retry)
        teams = collections.Counter([team async for team in answers])
    print(dict(teams.most_common()))
    print(checkpoint.stats())


if __name__ == "__main__":
    asyncio.run(main())
