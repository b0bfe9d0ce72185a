"""Files of the Helm chart that follow from something else: `python -m scripts.chart` makes them again.

    values     values.yaml as data: every value with its default, and its meaning from the comment above it
    schema     values.schema.json: what may be given
    readme     README.md: what can be given, and what to do with the chart
    copies     the CustomResourceDefinition and the operator's rights, which the chart's templates read

The comment above a key is the only description of it. A comment that ends with `schema: {...}` says what the default does
not tell: an enumeration, a pattern, a range.
"""
