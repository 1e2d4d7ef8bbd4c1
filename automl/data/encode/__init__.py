"""Raw rows into what networks read: one code for training and for serving.

encoding = Encoding.fit(dataset, train_rows, kind=kind)   # on training rows only
inputs = encoding.transform(dataset, rows)                # one array per input of the task
encoding.save(folder); Encoding.load(folder)              # JSON and safetensors, no pickle
dataset = encoding.dataset([{"age": 31, "city": "Rome"}]) # what a client sends, as raw rows
"""

from automl.data.encode.encoding import Encoding

__all__ = ["Encoding"]
