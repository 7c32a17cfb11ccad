"""What a persona reads about its platform: by a naive reader, and by dtc's own checks."""

import subprocess

import pytest

from minivisor.platform.guest_tree import Framebuffer, guest_tree
from tests.naive_devicetree import parse

MIB = 1 << 20
SCREEN = Framebuffer(0x43FE_0000, 160, 240, 320)


def tree(**change):
    settings = {"memory": (0x4000_0000, 64 * MIB), "cpus": 1, "name": "work", "colour": 0x2266CC} | change
    return guest_tree(**settings)


def words(data):
    return [int.from_bytes(data[n : n + 4], "big") for n in range(0, len(data), 4)]


def strings(data):
    return data.rstrip(b"\0").decode().split("\0")


def test_the_virtual_platform():
    nodes, _ = parse(tree())
    assert words(nodes["/memory@40000000"]["reg"]) == [0, 0x4000_0000, 0, 64 * MIB]
    assert words(nodes["/intc@8000000"]["reg"]) == [0, 0x0800_0000, 0, 0x1000, 0, 0x0801_0000, 0, 0x2000]
    assert strings(nodes["/intc@8000000"]["compatible"]) == ["arm,cortex-a15-gic"]
    assert words(nodes["/timer"]["interrupts"]) == [1, 13, 0x104, 1, 14, 0x104, 1, 11, 0x104, 1, 10, 0x104]
    assert strings(nodes["/psci"]["compatible"]) == ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]
    assert strings(nodes["/psci"]["method"]) == ["hvc"]
    for part, base, spi in (("pl011", 0x0900_0000, 1), ("pl031", 0x0901_0000, 2)):
        node = nodes[f"/{part}@{base:x}"]
        assert strings(node["compatible"]) == [f"arm,{part}", "arm,primecell"]
        assert words(node["reg"]) == [0, base, 0, 0x1000]
        assert words(node["interrupts"]) == [0, spi, 4]
        assert len(words(node["clocks"])) == len(strings(node["clock-names"]))
    assert words(nodes["/apb-pclk"]["clock-frequency"]) == [24_000_000]


@pytest.mark.parametrize("cpus", [1, 3])
def test_a_gicv3_with_a_redistributor_for_each_cpu(cpus):
    nodes, _ = parse(tree(gic=3, cpus=cpus))
    node = nodes["/intc@8000000"]
    assert strings(node["compatible"]) == ["arm,gic-v3"]
    assert words(node["reg"]) == [0, 0x0800_0000, 0, 0x1_0000, 0, 0x080A_0000, 0, 0x2_0000 * cpus]
    assert words(node["#redistributor-regions"]) == [1] and words(node["#interrupt-cells"]) == [3]
    assert "ranges" in node and words(node["phandle"]) == words(nodes["/"]["interrupt-parent"])
    assert words(nodes["/timer"]["interrupts"])[2::3] == [4] * 4  # its binding has no mask of CPUs
    assert not any("its" in path for path in nodes)


def test_virtio_slots_from_the_first_on():
    nodes, _ = parse(tree(virtio=3))
    for slot, base in enumerate((0x0A00_0000, 0x0A00_0200, 0x0A00_0400)):
        node = nodes[f"/virtio_mmio@{base:x}"]
        assert strings(node["compatible"]) == ["virtio,mmio"] and words(node["reg"]) == [0, base, 0, 0x200]
        assert words(node["interrupts"]) == [0, 16 + slot, 4]
    assert sum("virtio" in path for path in nodes) == 3 and not any("virtio" in path for path in parse(tree())[0])


def test_references_point_at_nodes():
    nodes, _ = parse(tree(framebuffer=SCREEN))
    phandles = {words(node["phandle"])[0]: path for path, node in nodes.items() if "phandle" in node}
    assert phandles[words(nodes["/"]["interrupt-parent"])[0]] == "/intc@8000000"
    assert {phandles[cell] for cell in words(nodes["/pl011@9000000"]["clocks"])} == {"/apb-pclk"}
    assert (
        phandles[words(nodes["/framebuffer@43fe0000"]["memory-region"])[0]] == "/reserved-memory/framebuffer@43fe0000"
    )
    assert strings(nodes["/chosen"]["stdout-path"])[0] in nodes


def test_the_persona_is_under_chosen():
    chosen = parse(tree(bootargs="quiet", initrd=(0x4100_0000, 0x4100_1234)))[0]["/chosen"]
    assert chosen["minivisor,name"] == b"work\0"
    assert words(chosen["minivisor,colour"]) == [0x2266CC]
    assert chosen["bootargs"] == b"quiet\0"
    assert words(chosen["linux,initrd-start"] + chosen["linux,initrd-end"]) == [0, 0x4100_0000, 0, 0x4100_1234]


def test_the_screen_is_a_reserved_piece_of_its_ram():
    nodes, _ = parse(tree(framebuffer=SCREEN))
    screen = nodes["/framebuffer@43fe0000"]
    assert strings(screen["compatible"]) == ["simple-framebuffer"]
    assert strings(screen["format"]) == ["r5g6b5"]
    assert [words(screen[key])[0] for key in ("width", "height", "stride")] == [160, 240, 320]
    assert screen["reg"] == nodes["/reserved-memory/framebuffer@43fe0000"]["reg"]
    assert words(screen["reg"])[3] == SCREEN.size == 0x13000
    assert not any("framebuffer" in path for path in parse(tree())[0])


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_cpus_and_the_timer_interrupts_of_each(cpus):
    nodes, _ = parse(tree(cpus=cpus))
    assert [words(nodes[f"/cpus/cpu@{n}"]["reg"])[0] for n in range(cpus)] == list(range(cpus))
    assert f"/cpus/cpu@{cpus}" not in nodes
    assert words(nodes["/timer"]["interrupts"])[2] >> 8 == 2**cpus - 1


def test_the_seed_is_the_runs_and_each_persona_has_another():
    seeds = [parse(tree(seed=seed, name=name))[0]["/chosen"]["rng-seed"] for seed in (1, 2) for name in ("a", "b")]
    assert len(set(seeds)) == 4
    assert {len(seed) for seed in seeds} == {64}
    assert tree(seed=1) == tree(seed=1)


@pytest.mark.needs("dtc")
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gic": 3, "cpus": 3},
        {"cpus": 4, "framebuffer": SCREEN, "initrd": (0x4100_0000, 0x4101_0000)},
        {"virtio": 32},
    ],
)
def test_dtc_finds_nothing_to_complain_about(change):
    run = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", "-"], input=tree(**change), capture_output=True, check=True, timeout=20
    )
    assert run.stderr == b""


def test_nobody_maps_the_screen_as_ordinary_memory():
    """Linux refuses to map a screen in RAM that it has mapped already: `no-map` keeps it out."""
    assert parse(tree(framebuffer=SCREEN))[0]["/reserved-memory/framebuffer@43fe0000"]["no-map"] == b""
