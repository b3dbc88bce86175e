"""What a worker can give for a unit."""

from workers.audio_column import AudioColumn
from workers.label_column import LabelColumn
from workers.number_column import NumberColumn
from workers.tensor_column import TensorColumn

Column = TensorColumn | AudioColumn | NumberColumn | LabelColumn
