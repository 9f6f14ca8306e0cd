import { escapeHtml } from "./util.js";

export const layout = (title, body) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title></head>
<body><nav><a href="/">All notes</a></nav>${body}</body></html>`;

export const noteForm = ({ title = "", source = "" } = {}) => `
<form method="post" action="/notes">
  <input name="title" value="${escapeHtml(title)}">
  <textarea name="source">${escapeHtml(source)}</textarea>
  <button>Save</button>
</form>`;
