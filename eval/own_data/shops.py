"""Shapes of shops and recipes: Food.com, Online Retail, RetailRocket, H&M, Amazon, Gorse, Yelp, exports."""

from __future__ import annotations

from pathlib import Path

from eval.own_data.shapes import (
    Refusal,
    Right,
    Shape,
    at,
    counted,
    delimited,
    lines_of_json,
    plain,
    rewrite,
    zipped,
)
from eval.own_data.world import Event, World, world


def food() -> Shape:
    """Food.com: lists in brackets, texts of several lines, dates without a time; 0 is "reviewed, not rated"."""
    own = world(13)
    head = (
        "name", "id", "minutes", "contributor_id", "submitted", "tags", "nutrition", "n_steps", "steps", "description",
        "ingredients", "n_ingredients",
    )  # fmt: skip
    recipes = [
        (
            item.title.lower(), 137_000 + item.number, 5 * item.number + 10, 47_000 + item.number % 7,
            f"{item.year}-03-04", str([kind.lower() for kind in item.kinds]),
            str([item.number + 0.5, 0.0, 13.0 + item.number]), 3, str([f"make {item.title.lower()}", "mix, and serve"]),
            item.text.replace(". ", ".\r\n"), str([maker.lower() for maker in item.makers]), len(item.makers),
        )
        for item in own.items
    ]  # fmt: skip
    log = [
        (event.user + 1500, 137_000 + event.item, at(event.time, "%Y-%m-%d"), _stars(event), "Good, and\nquick")
        for event in own.shuffled()
    ]
    # Recipes of one day keep the order of the file.
    by_day = sorted(own.shuffled(), key=lambda event: event.time // 86_400)
    right = counted(
        by_day,
        lambda user: f"{user + 1500}",
        lambda item: f"{137_000 + item}",
        len(own.items),
        {
            "user": "user_id", "item": "recipe_id", "item_id": "id", "rating": "rating", "time": "date",
            "title": "name", "text": "description",
        },
        titles={f"{137_000 + n}": own.items[n].title.lower() for n in (0, 7, 30)},
        labels={"137001": tuple(kind.lower() for kind in own.items[1].kinds)},
        scale=(1, 5),
        rated=sum(_stars(event) > 0 for event in own.events),
        said=(r"(?i)\b0\b.*not rated|not rated.*\b0\b", r"nutrition.*(?i:numbers|vector|not used)"),
        unsaid=("field nutrition",),
    )  # fmt: skip
    files = {
        "RAW_recipes.csv": delimited([head, *recipes]).encode(),
        "RAW_interactions.csv": delimited([("user_id", "recipe_id", "date", "rating", "review"), *log]).encode(),
    }
    return Shape("food", files, ("--items", "RAW_recipes.csv", "--interactions", "RAW_interactions.csv"), right)


def _stars(event: Event) -> int:
    """Return a rating; 0, which means none, is more frequent than 1 and 2."""
    return 0 if (event.user * 3 + event.item) % 12 == 0 else max(3, event.rating) if event.user % 9 else event.rating


def online_retail() -> Shape:
    """Online Retail: one table with the titles of items, customers as floats or missing, months before days."""
    own = world(14, repeats=True)
    head = (
        "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
    )  # fmt: skip
    code = {
        item.number: f"{85_000 + item.number}{'ABC'[item.number % 3] if item.number % 2 else ''}" for item in own.items
    }
    events = [event for event in own.events if event.user % 10 != 9]  # the customers that are missing
    sales = [
        (
            536_365 + number, code[event.item], f"{own.items[event.item].title.upper()} ", 1 + event.item % 12, when,
            f"{0.55 + event.item % 20:.2f}", "" if event.user % 10 == 9 else f"{17_850 + event.user}.0",
            "United Kingdom" if event.user % 4 else "France",
        )
        for number, event in enumerate(own.events)
        for when in [_us_date(event.time)]
    ]  # fmt: skip
    used = {event.item for event in own.events}
    right = counted(
        sorted(events, key=lambda event: event.time // 60),
        lambda user: f"{17_850 + user}",
        code.__getitem__,
        len(used),
        {"user": "CustomerID", "item": "StockCode", "time": "InvoiceDate", "title": "Description"},
        titles={code[n]: own.items[n].title.upper() for n in (0, 7, 30)},
        said=(f"no user: {len(own.events) - len(events)}", "month first", r"(?i)\.0\b"),
        settings={"repeat": True},
    )
    files = {"online_retail.csv": delimited([head, *sales]).encode()}
    return Shape("online-retail", files, ("--interactions", "online_retail.csv"), right)


def _us_date(time: int) -> str:
    """Return a moment as ``12/1/2010 8:26``."""
    month, day, year, hour, minute = at(time, "%m %d %Y %H %M").split()
    return f"{int(month)}/{int(day)}/{year} {int(hour)}:{minute}"


_EVENTS = ("timestamp", "visitorid", "event", "itemid", "transactionid")


def _clicks(own: World) -> list[tuple[object, ...]]:
    """Return lines of RetailRocket: views, and for good items a cart and a transaction within the same second."""
    lines: list[tuple[int, list[tuple[object, ...]]]] = []
    for event in own.events:
        moment, visitor, item = 1000 * event.time, event.user + 257_000, event.item + 355_000
        acts = ["view", *(["addtocart"] if event.rating > 3 else []), *(["transaction"] if event.rating > 4 else [])]
        # Newest first within a second, so that its fractions decide.
        lines.append(
            (
                event.time,
                [
                    (moment + 100 * place, visitor, act, item, 10_000 + event.item if act == "transaction" else "")
                    for place, act in reversed(list(enumerate(acts)))
                ],
            )
        )
    return [line for _, several in sorted(lines, key=lambda entry: -entry[0]) for line in several]


def retail_rocket() -> Shape:
    """RetailRocket: milliseconds, names without separators, three kinds of events, newest lines first."""
    own = world(15)
    lines = _clicks(own)
    columns = {"user": "visitorid", "item": "itemid", "time": "timestamp"}
    right = counted(
        own.events,
        lambda user: f"{user + 257_000}",
        lambda item: f"{item + 355_000}",
        len({event.item for event in own.events}),
        columns,
        said=("event view +event", "event addtocart +event", "event transaction +event .*measured"),
    )
    files = {"events.csv": delimited([_EVENTS, *lines]).encode()}
    return Shape("retail-rocket", files, ("--interactions", "events.csv"), right)


def retail_rocket_properties() -> Shape:
    """RetailRocket with its item properties, which are a line per item, property and time: no table of items."""
    own = world(15)
    shape = retail_rocket()
    properties = [
        (1000 * (item.time + 5), item.item + 355_000, name, value)
        for item in own.events[:200]
        for name, value in (("categoryid", item.item % 7), ("790", f"n{item.item * 120}.000"))
    ]
    files = {
        **shape.files,
        "item_properties_part1.csv": delimited([("timestamp", "itemid", "property", "value"), *properties]).encode(),
    }

    def without(_: Path) -> tuple[str, ...]:
        return "--interactions", "events.csv"

    options = ("--items", "item_properties_part1.csv", "--interactions", "events.csv")
    refusal = Refusal("several lines for an item.*leave it out", without)
    return Shape("retail-rocket-properties", files, options, shape.right, refusal)


def hm() -> Shape:
    """H&M: ids with zeros in front, several columns of names, several products with one name, a zip file."""
    own = world(16)
    article = {item.number: f"0{108_775_015 + 1000 * item.number}" for item in own.items}
    titles = {item.number: own.items[item.number // 2 * 2].title for item in own.items}  # in two colours each
    head = (
        "article_id", "product_code", "prod_name", "product_type_no", "product_type_name", "product_group_name",
        "colour_group_code", "colour_group_name", "index_group_name", "detail_desc",
    )  # fmt: skip
    articles = [
        (
            article[item.number], article[item.number][:7], titles[item.number], 253 + item.number % 6, item.kinds[0],
            f"{item.kinds[0]} group", f"{9 + item.number % 2:02}", ("Black", "White")[item.number % 2], "Ladieswear",
            item.text,
        )
        for item in own.items
    ]  # fmt: skip
    log = [
        (
            at(event.time, "%Y-%m-%d"), f"{event.user:064x}", article[event.item], f"{event.item / 1000:.18f}",
            1 + event.user % 2,
        )
        for event in own.events
    ]  # fmt: skip
    names = ("t_dat", "customer_id", "article_id", "price", "sales_channel_id")
    right = counted(
        own.events,
        lambda user: f"{user:064x}",
        article.__getitem__,
        len(own.items),
        {
            "user": "customer_id", "item": "article_id", "item_id": "article_id", "time": "t_dat",
            "title": "prod_name", "text": "detail_desc",
        },
        titles={article[n]: titles[n] for n in (0, 6, 30)} | {article[7]: f"{titles[7]} [{article[7]}]"},
    )  # fmt: skip
    files = {
        "articles.csv": delimited([head, *articles]).encode(),
        "transactions_train.csv.zip": zipped("transactions_train.csv", delimited([names, *log])),
    }
    options = ("--items", "articles.csv", "--interactions", "transactions_train.csv.zip")
    return Shape("hm", files, options, right)


def hm_zeros_lost() -> Shape:
    """H&M after a detour through a spreadsheet: the log's ids have lost the zeros in front."""
    shape = hm()
    own = world(16)
    log = [
        (at(event.time, "%Y-%m-%d"), f"{event.user:064x}", 108_775_015 + 1000 * event.item, 0.02)
        for event in own.events
    ]
    names = ("t_dat", "customer_id", "article_id", "price")
    files = {"articles.csv": shape.files["articles.csv"], "transactions.csv": delimited([names, *log]).encode()}

    def padded(folder: Path) -> tuple[str, ...]:
        rewrite(folder, "transactions.csv", lambda text: text.replace(",108", ",0108"))
        return "--items", "articles.csv", "--interactions", "transactions.csv"

    refusal = Refusal("leading zeros.*write both the same way", padded)
    return Shape(
        "hm-zeros-lost", files, ("--items", "articles.csv", "--interactions", "transactions.csv"), shape.right, refusal
    )


def amazon_2023() -> Shape:
    """Amazon reviews of 2023: JSON lines, milliseconds, items by ``parent_asin``; ``title`` is a review's headline."""
    own = world(17)
    parent = {item.number: f"B0{item.number:08}" for item in own.items}
    reviews = lines_of_json(
        {
            "rating": float(event.rating), "title": "Nice", "text": "As described", "images": [],
            "asin": f"B1{event.item * 2 + event.user % 2:08}", "parent_asin": parent[event.item],
            "user_id": f"A{event.user:027}", "timestamp": 1000 * event.time + event.user, "helpful_vote": 0,
            "verified_purchase": True,
        }
        for event in own.shuffled()
    )  # fmt: skip
    meta = lines_of_json(
        {
            "main_category": "All Beauty", "title": item.title, "average_rating": 4.8, "rating_number": 10,
            "features": [], "description": [item.text], "price": 5.5 + item.number if item.number % 2 else None,
            "images": [], "videos": [], "store": item.makers[0], "categories": list(item.kinds),
            "details": {"Brand": item.makers[0]}, "parent_asin": parent[item.number], "bought_together": None,
        }
        for item in own.items
    )  # fmt: skip
    right = counted(
        own.events,
        lambda user: f"A{user:027}",
        parent.__getitem__,
        len(own.items),
        None,
        titles={parent[n]: own.items[n].title for n in (0, 7, 30)},
        labels={parent[1]: own.items[1].kinds},
        scale=(1, 5),
        rated=len(own.events),
    )
    files = {"All_Beauty.jsonl": reviews.encode(), "meta_All_Beauty.jsonl": meta.encode()}
    options = ("--items", "meta_All_Beauty.jsonl", "--interactions", "All_Beauty.jsonl")
    return Shape("amazon-2023", files, options, right)


def gorse() -> Shape:
    """Gorse: feedback of several types with zones in times, labels between ``|``, titles in ``comment``."""
    own = world(18)
    items = [
        ("item_id", "is_hidden", "categories", "timestamp", "labels", "comment"),
        *(
            (
                f"i{item.number}",
                "false",
                item.kinds[0],
                "2018-01-01 00:00:00 +0000 UTC",
                "|".join(item.kinds),
                item.title,
            )
            for item in own.items
        ),
    ]
    feedback = [
        ("feedback_type", "user_id", "item_id", "timestamp"),
        *(
            (kind, f"u{event.user}", f"i{event.item}", at(event.time, "%Y-%m-%d %H:%M:%S +0000 UTC"))
            for event in own.events
            for kind in ("read", *(("like",) if event.rating > 3 else ()))
        ),
    ]
    right = counted(
        own.events,
        lambda user: f"u{user}",
        lambda item: f"i{item}",
        len(own.items),
        {"user": "user_id", "item": "item_id", "item_id": "item_id", "time": "timestamp", "title": "comment"},
        titles={f"i{n}": own.items[n].title for n in (0, 7, 30)},
        labels={"i1": own.items[1].kinds},
        said=("event like +feedback_type .*measured", "event read +feedback_type"),
    )
    files = {"items.csv": delimited(items).encode(), "feedback.csv": delimited(feedback).encode()}
    return Shape("gorse", files, ("--items", "items.csv", "--interactions", "feedback.csv"), right)


def yelp() -> Shape:
    """Yelp: JSON lines with nested objects, and labels between commas."""
    own = world(19)
    places = lines_of_json(
        {
            "business_id": f"b{item.number:021}", "name": item.title, "address": f"{item.number} Main St",
            "city": "Phoenix", "state": "AZ", "postal_code": f"{85_000 + item.number}", "latitude": 33.5,
            "longitude": -112.1, "stars": 3.5, "review_count": item.number + 5, "is_open": item.number % 2,
            "attributes": {"WiFi": "u'free'"}, "categories": ", ".join(item.kinds),
            "hours": {"Monday": "0:0-0:0"} if item.number % 2 else None,
        }
        for item in own.items
    )  # fmt: skip
    reviews = lines_of_json(
        {
            "review_id": f"r{event.time}", "user_id": f"u{event.user:021}", "business_id": f"b{event.item:021}",
            "stars": float(event.rating), "useful": 0, "funny": 0, "cool": 0, "text": "Nice place,\nand \"open\".",
            "date": at(event.time, "%Y-%m-%d %H:%M:%S"),
        }
        for event in own.shuffled()
    )  # fmt: skip
    right = counted(
        own.events,
        lambda user: f"u{user:021}",
        lambda item: f"b{item:021}",
        len(own.items),
        {
            "user": "user_id", "item": "business_id", "item_id": "business_id", "rating": "stars", "time": "date",
            "title": "name",
        },
        titles={f"b{n:021}": own.items[n].title for n in (0, 7, 30)},
        labels={f"b{1:021}": own.items[1].kinds},
        scale=(1, 5),
        rated=len(own.events),
    )  # fmt: skip
    files = {
        "yelp_academic_dataset_business.json": places.encode(),
        "yelp_academic_dataset_review.json": reviews.encode(),
    }
    options = ("--items", "yelp_academic_dataset_business.json", "--interactions", "yelp_academic_dataset_review.json")
    return Shape("yelp", files, options, right)


def sql_export() -> Shape:
    r"""A database's export: tabs, ``NULL`` and ``\N`` for what is missing, a quote that is not a quote."""
    own = world(20)
    titles = {item.number: item.title for item in own.items} | {1: '"Heroes', 3: 'Lodger"', 8: r"\N", 9: r"\N"}
    products = [
        ("product_id", "title", "category"),
        *((item.number + 1, titles[item.number], item.kinds[0] if item.number % 8 else "NULL") for item in own.items),
    ]
    log = [
        ("customer_id", "product_id", "created_at"),
        *((event.user + 1, event.item + 1, at(event.time, "%Y-%m-%d %H:%M:%S")) for event in own.events),
        *(("NULL", event.item + 1, at(event.time, "%Y-%m-%d %H:%M:%S")) for event in own.events[:30]),
    ]
    right = counted(
        own.events,
        lambda user: f"{user + 1}",
        lambda item: f"{item + 1}",
        len(own.items),
        {
            "user": "customer_id", "item": "product_id", "item_id": "product_id", "time": "created_at",
            "title": "title",
        },
        titles={"1": titles[0], "2": '"Heroes', "4": 'Lodger"', "9": "item 9", "10": "item 10"},
        labels={"1": (), "2": (own.items[1].kinds[0],)},
        said=("NULL.*30|30.*NULL",),
    )  # fmt: skip
    files = {"products.tsv": plain(products, "\t").encode(), "orders.tsv": plain(log, "\t").encode()}
    return Shape("sql-export", files, ("--items", "products.tsv", "--interactions", "orders.tsv"), right)


def german_shop() -> Shape:
    """A spreadsheet's export: items by commas, the log by semicolons, decimal commas, days before months."""
    own = world(21)
    titles = {item.number: item.title for item in own.items} | {3: "Schöne Grüße, „Müller“ – 5 €"}
    articles = [
        ("Artikelnummer", "Titel", "Kategorie", "Preis"),
        *((f"A{item.number}", titles[item.number], item.kinds[0], f"{item.number},95 €") for item in own.items),
    ]
    log = [
        ("Kunde", "Artikelnummer", "Bewertung", "Datum"),
        *(
            (
                f"K{event.user}",
                f"A{event.item}",
                f"{event.rating - 0.5:.1f}".replace(".", ","),
                at(event.time, "%d.%m.%Y %H:%M"),
            )
            for event in own.events
        ),
    ]
    right = counted(
        sorted(own.events, key=lambda event: event.time // 60),
        lambda user: f"K{user}",
        lambda item: f"A{item}",
        len(own.items),
        {
            "user": "Kunde", "item": "Artikelnummer", "item_id": "Artikelnummer", "rating": "Bewertung",
            "time": "Datum", "title": "Titel",
        },
        titles={f"A{n}": titles[n] for n in (0, 3, 30)},
        labels={"A1": (own.items[1].kinds[0],)},
        scale=(0.5, 5),
        rated=len(own.events),
        said=("(?i)cp1252|windows-1252",),
    )  # fmt: skip
    files = {
        "Artikel.csv": delimited(articles).encode("cp1252"),
        "Bewertungen.csv": delimited(log, ";").encode("cp1252"),
    }
    return Shape("german-shop", files, ("--items", "Artikel.csv", "--interactions", "Bewertungen.csv"), right)


def mis_sorted(name: str = "sorted-by-item") -> Shape:
    """A log without times that is sorted by item number, so that it tells no order of histories."""
    own = world(22)
    log = own.by_item()
    right: Right = counted(
        log,
        lambda user: f"u{user}",
        lambda item: f"{item + 100}",
        len({event.item for event in log}),
        {"user": "user", "item": "item", "rating": "rating"},
        scale=(1, 5),
        rated=len(log),
        said=("(?i)ascending|sorted by|by item",),
    )
    lines = [("user", "item", "rating"), *((f"u{event.user}", event.item + 100, event.rating) for event in log)]
    return Shape(name, {"log.csv": delimited(lines).encode()}, ("--interactions", "log.csv"), right)
