
if __name__ != "pliant.scenes":  # found by a path that leads into the checkout: a second copy of everything would follow
    raise ImportError(f"{__name__}: this folder is imported as pliant.scenes; write `from pliant import scenes`.")
