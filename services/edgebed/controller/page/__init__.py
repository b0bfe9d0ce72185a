"""The page of the controller, for people with a browser: experiments as they go, their reports, and sending a new one.

What belongs here: static files and the headers that they are served with. What does not: anything that the page knows, which
it asks the control API for like any other client.

    routes        the files over HTTP, and what browsers may do with them
    index.html    the frame of all views, and the dialogue that confirms
    page.css      for screens of every width, light and dark
    main.js       which view is shown; what the event stream tells goes to it
    api.js        requests with the token, asked for when the API wants one; the event stream
    parts.js      elements, bars and spark lines; words for numbers
    list.js       all experiments
    detail.js     one experiment
    submit.js     a new experiment, and what is wrong with it line by line
    view.html     a file of a run in a tab of its own (view.js): the report above all

The files are open, because they say nothing about the testbed; every request for what it knows needs the token, where one is
set. The token is typed by a person, kept in the tab's sessionStorage, and sent as a header. There is no cookie: a cookie goes
with every request to this host, whatever its port and whoever caused it, and behind `kubectl port-forward` all hosts are
localhost. A report is therefore fetched with the header by view.js and put into its tab, where the tab's policy lets no script
run but the page's own.
"""
