"""A page for the browser that enlarges photos, on this computer.

desk    one picture after the other, in a thread of its own
job     one picture: what is asked, how far it is, what became of it
app     what the browser may ask, as a Starlette application
page/   what the browser shows
"""
