"""Policies in the words of other libraries, as text, with a report of what those words cannot say.

None of those libraries is imported here, but torchvision, whose file needs no autoaug and says everything exactly.
"""

from autoaug.export._export import Export, Exporter, LossyExport
from autoaug.export._formats import EXPORTERS, export, to_torchvision
from autoaug.export._importers import IMPORTERS, import_policy

__all__ = ["EXPORTERS", "IMPORTERS", "Export", "Exporter", "LossyExport", "export", "import_policy", "to_torchvision"]
