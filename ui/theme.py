"""Look of the page: Gradio theme and style sheet."""

from pathlib import Path

import gradio as gr

ASSETS = Path(__file__).resolve().parent.parent / "assets"


def theme() -> gr.themes.Base:
    """Return the theme: system fonts, so that nothing is fetched; contrast of AA or better."""
    return gr.themes.Default(
        primary_hue="amber",
        secondary_hue="blue",
        neutral_hue="slate",
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
        radius_size="sm",
        spacing_size="sm",
    ).set(
        button_primary_background_fill="#b45309",
        button_primary_background_fill_dark="#b45309",
        button_primary_background_fill_hover="#92400e",
        button_primary_background_fill_hover_dark="#92400e",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        body_text_color_subdued="#475569",
        body_text_color_subdued_dark="#cbd5e1",
        block_label_text_color="#334155",
        block_label_text_color_dark="#cbd5e1",
        block_info_text_color="#475569",
        block_info_text_color_dark="#cbd5e1",
    )


def css() -> str:
    sheets = sorted((ASSETS / "css").glob("*.css"))
    return "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
