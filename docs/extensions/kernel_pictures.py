"""The drawings of the page on kernels.

`python docs/extensions/kernel_pictures.py` draws docs/images/kernels-NAME.png.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from gradformer_dgl.preprocess import shortest_path_distances

IMAGES = Path(__file__).resolve().parents[1] / "images"
LANES = 8
MIDDLE = {"ha": "center", "va": "center"}
NEW, OLD, SOFT, PADDING, LINE = "#d95f02", "#7570b3", "#cfe3f5", "#e4e4e4", "0.35"


def _cells(place: Axes, colours: np.ndarray, texts: np.ndarray | None = None) -> None:
    """Draw a matrix of cells with a colour each, its first row on top."""
    rows, columns = colours.shape
    for row in range(rows):
        for column in range(columns):
            cell = Rectangle((column, row), 1, 1, facecolor=colours[row, column], edgecolor="0.8", lw=0.5)
            place.add_patch(cell)
            if texts is not None:
                place.text(column + 0.5, row + 0.5, texts[row, column], **MIDDLE, fontsize=7)
    _frame(place, columns, rows)


def _frame(place: Axes, width: float, height: float) -> None:
    place.set_xlim(-0.1, width + 0.1)
    place.set_ylim(height + 0.1, -0.1)
    place.set_aspect("equal")
    place.tick_params(length=0, labelsize=7)
    place.set_xticks([])
    place.set_yticks([])
    for side in place.spines.values():
        side.set_visible(False)


def _box(place: Axes, x: float, y: float, width: float, height: float, **style: object) -> None:
    place.add_patch(Rectangle((x, y), width, height, fill=False, **{"edgecolor": NEW, "lw": 2, **style}))


def _arrow(place: Axes, begin: Sequence[float], end: Sequence[float], colour: str = "black") -> None:
    place.add_patch(FancyArrowPatch(begin, end, arrowstyle="-|>", mutation_scale=11, color=colour, lw=1.4))


def draw_search(file: Path) -> None:
    """Draw the sets of the bit-parallel search level by level, and the distances as planes of bits."""
    graph = nx.Graph([(0, 1), (1, 2), (2, 3), (3, 4), (4, 1), (4, 5), (5, 6), (6, 7)])
    nodes = len(graph)
    distances = shortest_path_distances(graph).numpy()
    figure = Figure(figsize=(11, 3.1), layout="constrained")
    drawn, *axes = figure.subplots(1, 6, width_ratios=(1.1, 1, 1, 1, 1, 1))
    points = nx.kamada_kawai_layout(graph)
    nx.draw_networkx(
        graph, points, ax=drawn, node_size=170, font_size=8, node_color="white", edgecolors="black"
    )
    drawn.set_axis_off()
    drawn.set_title("a graph", fontsize=10)
    for level, place in zip(range(4), axes, strict=False):
        colours = np.full((nodes, nodes), "white", object)
        colours[distances < level], colours[distances == level] = OLD, NEW
        _cells(place, colours, np.where(distances <= level, "1", ""))
        place.set_xticks(np.arange(nodes) + 0.5, range(nodes))
        place.set_yticks(np.arange(nodes) + 0.5, range(nodes))
        place.set_title(f"level {level}: {(distances == level).sum()} new bits", fontsize=10)
    axes[0].set_ylabel("node: one word", fontsize=8)
    axes[0].set_xlabel("target: one bit", fontsize=8)
    planes = axes[4]
    _cells(planes, np.full((nodes, nodes), "white", object), distances.astype(str))
    planes.set_title("distances", fontsize=10)
    planes.set_xlabel("plane 0 + 2 * plane 1\n+ 4 * plane 2", fontsize=8)
    figure.savefig(file, dpi=110)


def draw_ragged(file: Path) -> None:
    """Draw a tile of the CPU loops: keys as rows, queries as columns, eight queries in a vector."""
    size, rows = 13, 16
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    flat, tile, product = figure.subplots(1, 3, width_ratios=(0.8, 1.2, 1.3))

    flat.set_title("a batch: matrix after matrix", fontsize=10)
    begin = 0.0
    for graph, count in enumerate((9, size, 6)):
        colour = SOFT if graph == 1 else "white"
        flat.add_patch(Rectangle((begin, begin), count, count, facecolor=colour, edgecolor=LINE))
        flat.text(begin + count / 2, begin + count / 2, f"n = {count}", fontsize=9, **MIDDLE)
        begin += count
    _frame(flat, begin, begin)

    tile.set_title("one head of one graph: a tile of queries", fontsize=10)
    colours = np.full((rows, rows), PADDING, object)
    colours[:size, :size] = SOFT
    _cells(tile, colours)
    for row in range(size):
        _box(tile, 0, row, LANES, 1, lw=0.7)
    _box(tile, 0, 4, LANES, 1, lw=2.5)
    tile.text(LANES / 2, 4.55, "one vector: 8 queries, 1 key", fontsize=7, **MIDDLE)
    _arrow(tile, (9.5, 0.4), (9.5, size - 0.4))
    tile.text(10, 6.5, "softmax:\nmax, sum\ndown the\nrows", fontsize=8, va="center")
    tile.set_xlabel("queries, up to a multiple of 8 (at most 64)", fontsize=8)
    tile.set_ylabel("keys, up to a multiple of 8", fontsize=8)

    product.set_title("matrix product: 8 x 8 sums in registers", fontsize=10)
    _frame(product, 20, 18)
    for x, y, width, height, text in [
        (0, 8, 5, 8, ""),
        (7, 0, 8, 5, "queries, 8 columns"),
        (7, 8, 8, 8, ""),
    ]:
        product.add_patch(Rectangle((x, y), width, height, facecolor=SOFT, edgecolor=LINE))
        product.text(x + width / 2, y + height / 2, text, fontsize=8, **MIDDLE)
    _box(product, 2, 8, 1, 8)
    _box(product, 7, 2, 8, 1)
    product.text(15.4, 2.6, "a load of 8", fontsize=8, va="center")
    product.text(2.5, 7.3, "keys, 8 rows", fontsize=8, ha="center")
    product.text(2.5, 16.9, "8 broadcasts", fontsize=8, ha="center")
    for row in range(LANES):
        _box(product, 7, 8 + row, 8, 1, lw=0.7)
        product.text(11, 8.52 + row, f"s{row} += k{row} * q", fontsize=7, **MIDDLE)
    product.text(15.4, 12, "8 fused\nmultiply-adds\na channel", fontsize=8, va="center")
    figure.savefig(file, dpi=110)


def draw_fused(file: Path) -> None:
    """Draw the three Triton kernels: what one program reads tile by tile, and what it stores."""
    figure = Figure(figsize=(11, 4.2), layout="compressed")
    panels = [
        ("forward: attend", "row", "out, log of the sum"),
        ("backward: attend_backward_queries", "row", "gradients of queries and table,\nmean of out * grad"),
        ("backward: attend_backward_keys", "column", "gradients of keys and values"),
    ]
    sizes = (3, 6, 4)
    for place, (title, way, stored) in zip(figure.subplots(1, 3), panels, strict=True):
        begin = 0.0
        for graph, count in enumerate(sizes):
            for row in range(count):
                for column in range(count):
                    last = count - 1
                    part = [0.55 if index == last else 1.0 for index in (column, row)]
                    corner = (begin + column, begin + row)
                    place.add_patch(Rectangle(corner, 1, 1, facecolor=PADDING, edgecolor="white", lw=0.5))
                    place.add_patch(Rectangle(corner, *part, facecolor=SOFT, edgecolor="white", lw=0.5))
            if graph == 1:
                if way == "row":
                    _box(place, begin, begin + 2, count, 1)
                    _arrow(place, (begin + 0.2, begin + 2.5), (begin + count - 0.2, begin + 2.5))
                else:
                    _box(place, begin + 2, begin, 1, count)
                    _arrow(place, (begin + 2.5, begin + 0.2), (begin + 2.5, begin + count - 0.2))
            begin += count
        _frame(place, begin, begin)
        place.set_title(title, fontsize=10)
        place.set_xlabel(f"stores {stored}", fontsize=9)
        place.set_ylabel("queries", fontsize=9)
        place.text(begin, 0.7, "keys", ha="right", fontsize=9)
        place.text(0.2, begin - 0.4, "a square: 64 x 64 pairs;\ngrey: padding", fontsize=8)
    figure.savefig(file, dpi=110)


def draw_sparse(file: Path) -> None:
    """Draw a row of sparse attention: eight of its pairs, the nodes they gather, and the sum over all."""
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 6))
    distances = shortest_path_distances(graph).numpy()
    nodes, query = len(graph), 8
    pairs = np.flatnonzero(distances[query] <= 2)
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    matrix, gathered, formula = figure.subplots(1, 3, width_ratios=(1.1, 1.4, 0.9))

    colours = np.full((nodes, nodes), "white", object)
    colours[distances <= 2] = SOFT
    _cells(matrix, colours)
    _box(matrix, 0, query, nodes, 1)
    for column in pairs[:LANES]:
        matrix.add_patch(Rectangle((column, query), 1, 1, facecolor=NEW))
    matrix.set_title("pairs within 2 hops; 8 pairs of a query", fontsize=10)
    matrix.set_ylabel("queries", fontsize=8)
    matrix.set_xlabel(f"keys; {len(pairs)} of {nodes} in this row", fontsize=8)

    heads, width = 2, 8
    shades = np.full((nodes, heads * width), "white", object)
    shades[pairs[:LANES]] = NEW
    _cells(gathered, shades)
    gathered.set_aspect("auto")
    for head in range(heads):
        _box(gathered, head * width, 0, width, nodes, edgecolor=LINE, lw=1.2)
        gathered.text(head * width + width / 2, nodes + 1, f"head {head}", fontsize=8, **MIDDLE)
    gathered.set_ylim(nodes + 2, -0.5)
    gathered.set_title("each key and value is read once, for all heads", fontsize=10)
    gathered.set_ylabel("nodes in memory", fontsize=8)

    formula.set_axis_off()
    formula.set_title("a row of the output", fontsize=10)
    far = nodes - len(pairs)
    lines = [
        f"{len(pairs)} sparse pairs:\n" r"$\sum_j (e^{a_j - m} - e^{-m})\, v_j$",
        "all nodes, summed once a graph:\n" r"$+\; e^{-m} \sum_j v_j$",
        f"over the sum, with {far} far pairs:\n" r"$\div\; (\sum_j e^{a_j - m} + n_{far}\, e^{-m})$",
    ]
    for place, text in zip((0.85, 0.5, 0.15), lines, strict=True):
        formula.text(0.02, place, text, fontsize=10, va="center", transform=formula.transAxes)
    figure.savefig(file, dpi=110)


PICTURES: dict[str, Callable[[Path], None]] = {
    "search": draw_search,
    "ragged": draw_ragged,
    "fused": draw_fused,
    "sparse": draw_sparse,
}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        draw(IMAGES / f"kernels-{name}.png")
