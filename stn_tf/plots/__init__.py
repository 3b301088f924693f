"""Pictures of what a spatial transformer does. Figures only: no pyplot, no window, no global state.

overlay_figure          where the sampler reads each image, and the straightened crop beside it
contact_sheet_figure    images beside what training makes of them
confusion_figure        which classes are taken for which
curves_figure           a run's loss and error by step
save_figure             writes any of them, whole or not at all
"""

from stn_tf.plots.confusion import confusion_figure
from stn_tf.plots.contact_sheet import contact_sheet_figure
from stn_tf.plots.curves import curves_figure
from stn_tf.plots.figure import save_figure
from stn_tf.plots.overlay import overlay_figure

__all__ = [
    "confusion_figure",
    "contact_sheet_figure",
    "curves_figure",
    "overlay_figure",
    "save_figure",
]
