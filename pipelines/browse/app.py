"""Requests answered: which page, in which form; what went wrong, without a trace of how."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.errors import InputError, MynapointError
from pipelines.browse import background, pages, proof, render, stories, whole_book
from pipelines.browse.asked import Browsed, PageRequest
from pipelines.browse.calculations import StillCalculatingError
from pipelines.browse.counts import SECTIONS
from pipelines.browse.filters import Filters, parse
from pipelines.browse.listing import Page, PageBlock
from pipelines.browse.search import search
from pipelines.browse.stories import NotGivenOutError

ROWS_OF_A_PAGE: Final = 100
ROWS_OF_AN_EXPORT: Final = 10_000
_MOST_BODY_BYTES: Final = 4096
_PAGES: Final[Mapping[str, Callable[[PageRequest], Page]]] = {
    "overview": pages.overview,
    "runs": pages.runs,
    **{name: pages.section(name) for name in SECTIONS},
    "claim": background.claim,
    "cut_off": background.cut_off,
    "due": whole_book.due,
    "payout_runs": background.payout_runs,
    "waiting": whole_book.waiting,
    "remarks": whole_book.remarks,
    "changed": whole_book.changed,
    "terms": background.terms,
    "proof": proof.proof,
    "correction": stories.correction,
    "transaction": stories.transaction,
    "person": stories.person,
    "account": stories.account,
    "payouts": stories.payouts,
}


def application(browsed: Browsed) -> Starlette:
    """The pages over one book."""

    def page(request: Request) -> Response:
        name, dot, form = request.path_params["name"].partition(".")
        make = _PAGES.get(name)
        if make is None or (dot and form not in ("csv", "json")):
            return _refused(browsed, 404, "not_found", request.query_params.get("lang"))
        return _answer(browsed, request.query_params, make, form or "html")

    def overview(request: Request) -> Response:
        return _answer(browsed, request.query_params, pages.overview, "html")

    async def searched(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BODY_BYTES:
                return _refused(browsed, 413, "too_long")
        given = parse_qs(body.decode("utf-8", "replace"))
        text = given.get("text", [""])[0]
        query = {"lang": given.get("lang", [""])[0]}

        def found(asked: PageRequest) -> Page:
            return search(asked, text)

        return await run_in_threadpool(_answer, browsed, query, found, "html")

    def style(_: Request) -> Response:
        return Response(render.style(), media_type="text/css")

    return Starlette(
        routes=[
            Route("/", overview, methods=["GET"]),
            Route("/style.css", style, methods=["GET"]),
            Route("/search", searched, methods=["POST"]),
            Route("/{name}", page, methods=["GET"]),
        ]
    )


def _answer(
    browsed: Browsed, query: Mapping[str, str], make: Callable[[PageRequest], Page], form: str
) -> Response:
    """A page in the form that was asked for, or one that says why not."""
    try:
        rows = ROWS_OF_A_PAGE if form == "html" else ROWS_OF_AN_EXPORT
        asked = PageRequest(browsed, parse(query, browsed.opened), query, rows)
        return _rendered(make(asked), asked, form)
    except NotGivenOutError:
        status, why, error = 404, "not_given_out", None
    except StillCalculatingError:
        status, why, error = 503, "calculating", None
    except MynapointError as refusal:
        status, why, error = 400 if isinstance(refusal, InputError) else 500, "refused", refusal
    except OSError:
        status, why, error = 500, "not_logged", None
    except Exception:  # noqa: BLE001 - its text may hold values of rows, and those are people's
        status, why, error = 500, "fault", None
    return _refused(browsed, status, why, query.get("lang"), error)


def _rendered(page: Page, asked: PageRequest, form: str) -> Response:
    if form == "html":
        return Response(render.html(page, asked), page.status, media_type="text/html")
    table = asked.query.get("table")
    if form == "json":
        text = render.json_of(page, asked, table)
        return Response(text, media_type="application/json", headers=_named(page.name, form))
    listing = render.by_name(page, table)
    if listing is None:
        return _refused(asked.browsed, 404, "not_found", asked.lang)
    headers = _named(f"{page.name}-{listing.name}", form)
    return Response(render.csv_of(listing), media_type="text/csv", headers=headers)


def _named(name: str, ending: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}.{ending}"'}


def _refused(
    browsed: Browsed,
    status: int,
    why: str,
    lang: str | None = None,
    error: MynapointError | None = None,
) -> Response:
    """A page that says why there is nothing to be seen, and what to do."""
    filters = Filters(lang=lang if lang in ("ja", "en") else None)
    asked = PageRequest(browsed, filters, {}, 0)
    sentences = [asked.t(f"e_{why}")]
    if error is not None:
        sentences += [error.message, error.hint]
    page = Page("error", asked.t("p_error"), [PageBlock(sentences=sentences)], status=status)
    headers = {"retry-after": "2"} if status == 503 else None
    return Response(render.html(page, asked), status, headers, media_type="text/html")
