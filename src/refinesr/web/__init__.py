"""A page for the browser that enlarges photos, on this computer.

worker  a thread that upscales the pictures one after the other
job     one picture: its settings, its state and its files
app     the HTTP interface, a Starlette application
page/   the page: HTML, CSS and JavaScript
"""
