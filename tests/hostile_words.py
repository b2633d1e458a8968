"""Words that would run in a browser where a page takes them for markup, by the mistake they wait for.

Each calls `cvkitXss`, which nothing else does.
"""

from __future__ import annotations

CALL = "cvkitXss(1)"
CODED = "".join(f"&#{ord(letter)};" for letter in CALL)
HEXED = "".join(f"&#x{ord(letter):x};" for letter in "javascript:cvkitXss(1)")
DATA = "data:text/html;base64,PHNjcmlwdD5wYXJlbnQuY3ZraXRYc3MoMSk8L3NjcmlwdD4="
EVENTS = (
    "onerror", "onload", "onclick", "onmouseover", "onfocus", "onblur", "ontoggle", "onpageshow", "onanimationstart",
    "onpointerenter", "onbegin", "onscroll", "onwheel", "onbeforetoggle", "oncontentvisibilityautostatechange",
)  # fmt: skip
TAGS = (
    f"<script>{CALL}</script>", f"<SCRIPT >{CALL}</SCRIPT >", f"<script/x>{CALL}</script>",
    f"<script type=module>{CALL}</script>", f"<scr<script>ipt>{CALL}</scr</script>ipt>", f"<script\n>{CALL}</script\n>",
    f"<iframe srcdoc='<script>parent.{CALL}</script>'></iframe>", f"<iframe src=javascript:parent.{CALL}></iframe>",
    f"<object data='{DATA}'></object>", f"<embed src='{DATA}'>", f"<base href='javascript:{CALL}//'>",
    f"<meta http-equiv=refresh content='0;url=javascript:{CALL}'>", f"<link rel=stylesheet href='{DATA}' onload={CALL}>",
    f"<form action=javascript:{CALL}><input type=submit autofocus></form>",
    f"<form id=x></form><button form=x formaction=javascript:{CALL}>go</button>",
    f"<isindex type=image src=1 onerror={CALL}>", f"<template><img src=x onerror={CALL}></template>",
    f"<noscript><p title='</noscript><img src=x onerror={CALL}>'>", f"<textarea><img title='</textarea><img src=x onerror={CALL}>'>",
    f"<title><img src=x onerror={CALL}></title>", f"</title><script>{CALL}</script>", f"</script><script>{CALL}</script>",
    f"</style><script>{CALL}</script>", f"<plaintext><img src=x onerror={CALL}>", f"<xmp></xmp><img src=x onerror={CALL}>",
    f"<marquee onstart={CALL}>x</marquee>", f"<details open ontoggle={CALL}>x</details>",
    f"<dialog open onclose={CALL}>x</dialog>", f"<video><source onerror={CALL}></video>", f"<audio src=x onerror={CALL}>",
    f"<input autofocus onfocus={CALL}>", f"<select autofocus onfocus={CALL}></select>", f"<keygen autofocus onfocus={CALL}>",
    f"<body onload={CALL}>", f"<frameset onload={CALL}>", f"<table background=javascript:{CALL}>",
    f"<portal src=javascript:{CALL}>", f"<a href=javascript:{CALL}>a</a>", f"<area href=javascript:{CALL} shape=default>",
    f"<x-y onclick={CALL} tabindex=1 autofocus onfocus={CALL}>z</x-y>", f"<img srcset='x 1x' src=x onerror={CALL}>",
)  # fmt: skip
ATTRIBUTES = tuple(f"<b {event}={CALL} tabindex=0 style=animation-name:x>{event}</b>" for event in EVENTS) + (
    f'" onmouseover={CALL} x="', f"' onmouseover={CALL} x='", f'"><img src=x onerror={CALL}>', f"'><img src=x onerror={CALL}>",
    f"--><img src=x onerror={CALL}>", f"]]><img src=x onerror={CALL}>", f"` onerror={CALL} `", f'"autofocus onfocus="{CALL}',
    f"<img/src=x/onerror={CALL}>", f"<img src=x onerror\t=\t{CALL}>", f"<img src=x onerror\n=\n{CALL}>",
    f'<img src="x`" `<img src=x onerror={CALL}>"`>', f"<img src=x:x onerror=&#x63;vkitXss(1)>",
)  # fmt: skip
ADDRESSES = (
    f"[a](javascript:{CALL})", f"[a](JaVaScRiPt:{CALL})", f"[a](java\tscript:{CALL})", f"[a](<javascript:{CALL}>)",
    f"[a](javascript&colon;{CALL})", f"[a]({HEXED})", f"[a](&#1;javascript:{CALL})", f"[a](vbscript:{CALL})", f"[a]({DATA})",
    f"![i](javascript:{CALL})", f"![i]({DATA})", f'![i](x "\" onerror={CALL} \"")', f"![x\" onerror=\"{CALL}](y)",
    f"[a](x' onclick='{CALL})", f'[a](# "\' onclick={CALL} \'")', f"<javascript:{CALL}>", f"[a]( javascript:{CALL} 't')",
    f"[![i](x)](javascript:{CALL})", f"[a]: javascript:{CALL}\n\n[a]", f"[b][r]\n\n[r]: {DATA} 'javascript:{CALL}'",
    f"[a](//evil.example/?{CALL})", f"[a](view-source:javascript:{CALL})", f"[a](blob:javascript:{CALL})",
    f"javascript:{CALL}//https://x.example", f"*[HTML]: <img src=x onerror={CALL}>",
)  # fmt: skip
LISTS = (
    f"x {{: onclick={CALL} }}", f"x\n{{: onmouseover=\"{CALL}\" }}", f"[a](#){{: href=javascript:{CALL} }}",
    f"*x*{{: style=animation-name:x onanimationstart={CALL} }}", f"![i](x){{: onerror={CALL} }}", f"x {{#__config onload={CALL}}}",
    f"- a {{: onpointerenter={CALL} }}",
)  # fmt: skip
CODES = (
    f"&lt;img src=x onerror={CALL}&gt;", f"&amp;lt;script&amp;gt;{CALL}&amp;lt;/script&amp;gt;", f"\\x3cscript\\x3e{CALL}\\x3c/script\\x3e",
    f"%3Cscript%3E{CALL}%3C/script%3E", f"\\u003cscript\\u003e{CALL}\\u003c/script\\u003e", f"+ADw-script+AD4-{CALL}+ADw-/script+AD4-",
    f"<img src=x onerror={CODED}>", f"＜script＞{CALL}＜/script＞", f"‹script›{CALL}‹/script›", f"<ſcript>{CALL}</ſcript>",
    f"<\u200bscript>{CALL}</script>", f"\u202e<script>{CALL}</script>\u202c", f"<script\u2028>{CALL}</script>", f"¼script¾{CALL}¼/script¾",
    f"\U0001f600<img src=x onerror={CALL}>\U0001f9d1\u200d\U0001f680", f"<ımg src=x onerror={CALL}>",
)  # fmt: skip
DRAWINGS = (
    f"<svg onload={CALL}>", f"<svg><script>{CALL}</script></svg>", f"<svg><a xlink:href=javascript:{CALL}><text y=9>x</text></a></svg>",
    f"<svg><animate onbegin={CALL} attributeName=x dur=1s>", f"<svg><set attributeName=onmouseover to={CALL}>",
    f"<svg><foreignObject><img src=x onerror={CALL}></foreignObject></svg>", f"<svg><use href='data:image/svg+xml,<svg id=x onload={CALL}>#x'>",
    f"<svg><style><img title='</style><img src=x onerror={CALL}>'>", f"<math><mtext><img src=x onerror={CALL}></mtext></math>",
    f"<math><maction actiontype=statusline xlink:href=javascript:{CALL}>x</maction></math>",
    f"<math><mi//xlink:href='data:x,<script>{CALL}</script>'>", f"<form><math><mtext></form><form><mglyph><style></math><img src=x onerror={CALL}>",
)  # fmt: skip
TEMPLATES = (
    f"{{{{ {CALL} }}}}", f"{{% set x = {CALL} %}}", f"${{{CALL}}}", f"<%= {CALL} %>", f"#{{{CALL}}}", f"{{{{constructor.constructor('{CALL}')()}}}}",
    f"{{{{ config.__class__.__init__.__globals__ }}}}{CALL}", f"$({CALL})", f"$$\\href{{javascript:{CALL}}}{{x}}$$", f"';{CALL};//",
    f'";{CALL};//', f"`;{CALL};//", f"\\';{CALL};//",
)  # fmt: skip
STYLES = (
    f"<style>@import 'javascript:{CALL}';</style>", f"<p style='background:url(javascript:{CALL})'>x</p>",
    f"<p style='width:expression({CALL})'>x</p>", f"<style>*{{animation:x}}</style><p onanimationend={CALL}>x</p>",
    f"<p style=\"-moz-binding:url('{DATA}#{CALL}')\">x</p>", f"}}</style><script>{CALL}</script>",
)  # fmt: skip
OPEN = (
    f"<img src=x onerror={CALL}", f"<script>{CALL}", f"<a href='javascript:{CALL}", f"<!--<img src=x onerror={CALL}>",
    f"<!--><script>{CALL}</script>", f"<![CDATA[<script>{CALL}</script>", f"<?xml <script>{CALL}</script>", f"</p><script>{CALL}",
    f"<<script>{CALL}//<</script>", f"<div\n<script>{CALL}</script>",
)  # fmt: skip
FENCES = (
    f"    <script>{CALL}</script>", f"`<script>{CALL}</script>`", f"~~~html {{onclick=\"{CALL}\"}}\n<script>{CALL}</script>\n~~~",
    f"> <script>{CALL}</script>", f"!!! note \"<img src=x onerror={CALL}>\"\n    <script>{CALL}</script>",
    f"1. <img src=x onerror={CALL}>", f"| a |\n|---|\n| <img src=x onerror={CALL}> |", f"## <img src=x onerror={CALL}>",
    f"--8<-- \"{CALL}\"", f"x[^1]\n\n[^1]: <img src=x onerror={CALL}>",
)  # fmt: skip
WORDS = (*TAGS, *ATTRIBUTES, *ADDRESSES, *LISTS, *CODES, *DRAWINGS, *TEMPLATES, *STYLES, *OPEN, *FENCES)
