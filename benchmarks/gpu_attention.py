"""Time and memory of decay attention on a GPU, forward and backward.

The fused kernel beside dense blocks, batches padded to their largest graph, and PyTorch's compiled
flex_attention over the same ragged batch and table. Bytes that must move are those of queries, keys,
values, output, their gradients and distances, each read or written once per direction; the last
column sets them against the time and the bandwidth that a copy reaches on the same device.

    python benchmarks/gpu_attention.py
"""

import statistics

import click
import torch

from gradformer_dgl import PairDistances
from gradformer_dgl.kernels.attention import attention_backend, packed_decay_attention

BATCHES = {
    "molecules, 15 to 40 nodes": (512, 15, 40),
    "120 nodes": (128, 120, 120),
    "500 nodes": (32, 500, 500),
}
CONTENDERS = {
    "fused": ("fused", {}),
    "blocks": ("blocks", {}),
    "padded": ("blocks", {"max_blocks": 1}),
    "flex_attention": None,
}
LONGEST = 12
WARM_UP = 5


def batch(graphs, least, most):
    """Return random distances of a batch, a tenth of them unreachable."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(least, most + 1, (graphs,), generator=generator)
    pairs = int(sizes.square().sum())
    values = torch.randint(LONGEST + 1, (pairs,), generator=generator)
    values[torch.rand(pairs, generator=generator) < 0.1] = 255
    return PairDistances(values.to(torch.uint8), sizes).to("cuda")


def ours(name, options, distances):
    """Return a function of qkv and table, in one of our backends."""

    def attend(qkv, table):
        with attention_backend(name, **options):
            return packed_decay_attention(qkv, distances, table)

    return attend


def flex(distances):
    """Return the same function in flex_attention: all graphs are one sequence, masked by graph."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    counts, nodes = distances.node_counts, distances.num_nodes
    graph = torch.arange(len(counts), device="cuda").repeat_interleave(counts)
    place = torch.arange(nodes, device="cuda") - (counts.cumsum(0) - counts)[graph]
    row = distances.offsets[graph] + place * counts[graph]
    last = len(distances.values) - 1

    def same_graph(_, head, query, key):
        return graph[query] == graph[key]

    compiled = torch.compile(flex_attention, dynamic=False)
    mask = create_block_mask(same_graph, None, None, nodes, nodes, device="cuda", _compile=True)

    def attend(qkv, table):
        def decay(score, _, head, query, key):
            # What is masked is looked up, too.
            pair = (row[query] + place[key]).clamp(max=last)
            return score * table[head, distances.values[pair].long()]

        query, key, value = (part.transpose(0, 1)[None] for part in qkv.unbind(1))
        return compiled(query, key, value, score_mod=decay, block_mask=mask)[0].transpose(0, 1)

    return attend


def median_time(step, repeats):
    """Return the median milliseconds of a step on the device."""
    times = []
    for repeat in range(WARM_UP + repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        end.synchronize()
        if repeat >= WARM_UP:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def bandwidth(repeats):
    """Return the bytes per second that a copy within the device moves."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * len(source) / (median_time(lambda: target.copy_(source), repeats) / 1000)


def measure(attend, qkv, table, grad, distances, repeats):
    """Return milliseconds of a step, the peak of memory above that before the first, and its results."""
    qkv, table = qkv.detach().requires_grad_(), table.detach().requires_grad_()

    def step():
        qkv.grad = table.grad = None
        attend(qkv, table).backward(grad)

    milliseconds = median_time(step, repeats)
    results = [attend(qkv, table).detach(), qkv.grad, table.grad]
    qkv.grad = table.grad = None
    # What is worked out of a batch once counts as memory, though not as time.
    distances.plans.clear()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return milliseconds, (torch.cuda.max_memory_allocated() - before) / 2**20, results


def table_of(name, dtype, heads, head_dim, repeats, peak):
    """Return a Markdown table of all contenders on one batch, with ratios to the fused kernel."""
    distances = batch(*BATCHES[name])
    torch.manual_seed(0)
    qkv = torch.randn(distances.num_nodes, 3, heads, head_dim, device="cuda", dtype=dtype)
    table = torch.rand(heads, 256, device="cuda", dtype=dtype)
    grad = torch.randn_like(qkv[:, 0])
    # Forward reads 3 and writes 1 of the size of the output, backward reads 5 and writes 3.
    moved = 12 * grad.numel() * grad.element_size() + 2 * len(distances.values)
    lines = [
        f"### {len(distances)} graphs, {name}, {heads} heads of {head_dim}, {dtype}",
        "",
        "| | ms | time, ratio | peak memory, MB | memory, ratio | error | share of bandwidth |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    fused = None
    for contender, backend in CONTENDERS.items():
        try:
            attend = flex(distances) if backend is None else ours(*backend, distances)
            ms, memory, results = measure(attend, qkv, table, grad, distances, repeats)
        except Exception as error:
            if contender == "fused":
                raise
            reason = str(error).strip().splitlines() or [""]
            lines.append(f"| {contender} | failed: {type(error).__name__}: {reason[0][:100]} | | | | | |")
            continue
        fused = fused or (ms, memory, results)
        errors = [
            float((mine - theirs).abs().max() / theirs.abs().max())
            for mine, theirs in zip(results, fused[2], strict=True)
        ]
        lines.append(
            f"| {contender} | {ms:.3f} | {ms / fused[0]:.1f} | {memory:.1f} | {memory / fused[1]:.1f} "
            f"| {max(errors):.0e} | {moved / (ms / 1000) / peak:.1%} |"
        )
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--dtype", "dtypes", type=click.Choice(["float32", "bfloat16", "float16"]), multiple=True)
@click.option("--heads", default=8, show_default=True)
@click.option("--head-dim", default=16, show_default=True)
@click.option("--repeats", default=50, show_default=True)
def main(dtypes, heads, head_dim, repeats):
    if not torch.cuda.is_available():
        raise click.ClickException("this benchmark needs a CUDA device")
    peak = bandwidth(repeats)
    click.echo(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, copies at {peak / 1e9:.0f} GB/s\n"
    )
    for dtype in dtypes or ("bfloat16", "float32"):
        for name in BATCHES:
            click.echo(table_of(name, getattr(torch, dtype), heads, head_dim, repeats, peak) + "\n")


if __name__ == "__main__":
    main()
