"""The picture of a sweep over two axes: every cell stands at its point with its point's shade, and the scale says what shades mean."""

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from qrt.report import heat, panels, shades
from qrt.report.data import HeatMap, Panels
from tests.short_programs import TURNED
from tests.test_live import pictures

SVG = "{http://www.w3.org/2000/svg}"


def of(value, y=None, x=None, stderr=None):
    value = np.asarray(value, np.float64)
    rows, columns = value.shape
    y = np.arange(rows, dtype=np.float64) if y is None else np.asarray(y, np.float64)
    x = np.arange(columns, dtype=np.float64) if x is None else np.asarray(x, np.float64)
    return HeatMap("Z(c)", ("a (V)", "t (s)"), y, x, value, np.full(value.shape, 0.01) if stderr is None else stderr)


def cells(figure):
    """Return the opacity of the cell at each place (left, top) of the figure, those of the scale left out."""
    found = {}
    for path in ET.fromstring(str(figure)).iter("path"):
        for x0, y0, x1, y1 in re.findall(r"M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)H", path.get("d")):
            if float(x0) < heat.SCALE_LEFT:
                box = float(x0), float(y1), float(x1), float(y0)
                assert box not in found
                found[box] = float(path.get("fill-opacity"))
    return found


def texts(figure):
    return [one.text for one in ET.fromstring(str(figure)).iter("text")]


def test_a_cell_stands_at_its_point_with_its_values_shade(rng):
    value = rng.permutation(12).reshape(3, 4) - 4.0
    y, x = [2.0, 0.0, 1.0], [0.1, 0.2, 0.3, 0.4]  # the rows came in another order
    figure = heat.figure(of(value, y, x))
    found = cells(figure)
    width, height = (heat.RIGHT - heat.LEFT) / 4, (heat.BOTTOM - heat.TOP) / 3
    assert len(found) == 12
    for row, up in enumerate(y):
        for column in range(4):
            left, bottom = heat.LEFT + column * width, heat.BOTTOM - up * height
            place = pytest.approx((left, bottom - height, left + width, bottom), abs=0.06)
            (opacity,) = (shade for box, shade in found.items() if box == place)
            share = (value[row, column] + 4) / 11
            step = round(share * (shades.SHADES - 1)) / (shades.SHADES - 1)
            assert opacity == pytest.approx(shades.PALEST + (1 - shades.PALEST) * step, abs=1e-3)
    said = texts(figure)
    assert {"Z(c)", "a (V)", "t (s)", "standard error up to 0.01", "7", "−4", "1.5", "0.2"} <= set(said)


def test_what_has_no_estimate_is_blank_and_one_value_everywhere_is_drawn():
    value = np.full((2, 3), 0.25)
    value[1, 2] = np.nan
    figure = heat.figure(of(value))
    assert len(cells(figure)) == 5
    assert set(cells(figure).values()) == {shades.PALEST}


@pytest.mark.parametrize("x", [[1.0, 10.0, 100.0], [0.5, 0.5, 1.0]], ids=["logspace", "the same value twice"])
def test_uneven_values_have_cells_of_one_width_and_are_written_below(x):
    figure = heat.figure(of(np.arange(6).reshape(2, 3), x=x))
    widths = [right - left for left, _, right, _ in cells(figure)]
    assert widths == pytest.approx([(heat.RIGHT - heat.LEFT) / 3] * 6, abs=0.11)
    assert [text for text in texts(figure) if text in {"0.5", "1", "10", "100"}][:3] == [f"{one:g}" for one in x]


def test_of_more_points_than_there_is_room_for_every_kth_is_drawn_and_that_is_said():
    figure = heat.figure(of(np.arange(3 * 500).reshape(3, 500)))
    assert len(cells(figure)) == 3 * 100
    assert "standard error up to 0.01; 300 of 1500 points are drawn" in texts(figure)


def test_a_run_over_two_axes_shows_one_map_whatever_axes_of_one_point_there_are(play):
    sweep = {"theta": "linspace(0, 3, 4)", "dig.range_v": [0.5, 1.0], "lo_readout.power_dbm": [10.0]}
    result = play.func(TURNED, **play.keywords | {"shots": 20}, sweep=sweep)
    (drawing,), _ = pictures(result._repr_html_())
    assert {one.text for one in drawing.iter(f"{SVG}text")} >= {"dig.range_v (V)", "theta", "Z(c)"}
    paths = [one for one in drawing.iter(f"{SVG}path") if one.get("fill-opacity")]
    assert sum(one.get("d").count("M") for one in paths) == 8 + shades.SHADES


def panels_of(points, rows, columns, value=None):
    value = (
        np.arange(points * rows * columns, dtype=np.float64).reshape(points, rows, columns) if value is None else value
    )
    places = np.arange(points, dtype=np.float64)[:, None] + 500
    y, x = np.arange(rows, dtype=np.float64), np.arange(columns, dtype=np.float64)
    return Panels("Z(c)", ("a (V)", "t (s)"), y, x, ("b (V)",), places, value, np.full(value.shape, 0.01))


def test_more_axes_have_a_map_at_each_point_of_the_others_in_one_scale(rng):
    value = rng.permutation(5 * 2 * 3).reshape(5, 2, 3).astype(np.float64)
    found = cells(panels.figure(panels_of(5, 2, 3, value)))
    assert len(found) == value.size
    width, height = panels.PANEL_WIDTH / 3, panels.PANEL_HEIGHT / 2
    for (point, row, column), one in np.ndenumerate(value):
        down, across = divmod(point, panels.COLUMNS)
        left = panels.LEFT + across * (panels.PANEL_WIDTH + panels.GAP) + column * width
        caption = panels.LINE + 5
        bottom = panels.TOP + down * (panels.PANEL_HEIGHT + caption + panels.GAP)
        bottom += caption + panels.PANEL_HEIGHT - row * height
        place = pytest.approx((left, bottom - height, left + width, bottom), abs=0.06)
        (opacity,) = (shade for box, shade in found.items() if box == place)
        step = round(one / (value.size - 1) * (shades.SHADES - 1)) / (shades.SHADES - 1)
        assert opacity == pytest.approx(shades.PALEST + (1 - shades.PALEST) * step, abs=1e-3)


def test_of_more_maps_and_cells_than_there_is_room_for_some_are_drawn_and_that_is_said():
    said = texts(panels.figure(panels_of(30, 2, 100)))
    told = "standard error up to 0.01; 10 of 30 maps and 68 of 200 points of each are drawn"
    assert {told, "above each: b (V)", "500", "527"} <= set(said)
    assert "501" not in said
    assert "standard error up to 0.01" in texts(panels.figure(panels_of(12, 2, 2)))
    unknown = np.full((30, 2, 2), np.nan)
    unknown[1] = 0.5  # which is not drawn
    assert "no estimate at these points; 10 of 30 maps are drawn" in texts(panels.figure(panels_of(30, 2, 2, unknown)))


def test_a_run_over_three_axes_shows_maps_of_the_two_fastest(play):
    sweep = {"dig.range_v": [0.5, 1.0], "lo_readout.power_dbm": [10.0, 11.0, 12.0], "theta": "linspace(0, 3, 4)"}
    result = play.func(TURNED, **play.keywords | {"shots": 5}, sweep=sweep)
    (drawing,), _ = pictures(result._repr_html_())
    said = {one.text for one in drawing.iter(f"{SVG}text")}
    assert said >= {"above each: dig.range_v (V)", "0.5", "1", "lo_readout.power_dbm (dBm)", "theta", "Z(c)"}
    paths = [one for one in drawing.iter(f"{SVG}path") if one.get("fill-opacity")]
    assert sum(one.get("d").count("M") for one in paths) == 24 + shades.SHADES
