"""Item, user and event features: declared in config, fitted on the training part, encoded once, gathered in batches.

The config form, under the key `features` (conf/features/none.yaml, auto.yaml):

```yaml
features:
  item:                        # NAME: KIND, or NAME: {kind: KIND, column: COLUMN, OPTION: VALUE}; null for none
    category: categorical
    genres: {kind: tags, separator: "|"}
    price: {kind: numeric, scale: log1p}
    price_level: {kind: buckets, column: price, buckets: 10}
    content: vector
  user: auto                   # every column by its type
  event: {hour: hour_of_day, weekday: day_of_week}
  cross: [[user.segment, item.category], {of: [user.user, item.category], buckets: 10000}]
```

`column` is the feature's name where it is not given. A value that is missing or was never seen in training has a place
of its own: see `ltsi.features.encoder`. Every statistic counts training events, so an item weighs as much as a network
meets it; items and users without a training event count nothing.

    declarations = read_declarations(config, split.store)   # declarations.py
    space = FeatureSpace.fit(split, declarations)           # space.py; space.state() is plain data
    features = space.encode(split.store)                    # encoded.py: tables of tensors
    batch = features.events(user_B, item_B, time_B)         # a gather
"""
