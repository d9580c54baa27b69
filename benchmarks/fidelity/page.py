"""Write the page."""


def write_page(pack, results, docs):
    raise NotImplementedError
