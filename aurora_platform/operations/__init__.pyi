from . import observe as observe
