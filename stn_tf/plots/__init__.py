"""Pictures of what a spatial transformer does. Figures only: no pyplot, no window, no global state.

overlay_figure          where the sampler reads each image, and the straightened crop beside it
contact_sheet_figure    images beside what training makes of them
confusion_figure        which classes are taken for which
curves_figure           a run's loss and error by step
curve_panels            what it draws in each of its panels
theta_figure            how the parameters of a transformer are distributed
save_figure             writes any of them, whole or not at all
figure_svg              any of them as part of a page
"""

from stn_tf.plots.confusion import confusion_figure
from stn_tf.plots.contact_sheet import contact_sheet_figure
from stn_tf.plots.curves import curve_panels, curves_figure
from stn_tf.plots.figure import figure_svg, save_figure
from stn_tf.plots.overlay import overlay_figure
from stn_tf.plots.theta import theta_figure

__all__ = [
    "confusion_figure",
    "contact_sheet_figure",
    "curve_panels",
    "curves_figure",
    "figure_svg",
    "overlay_figure",
    "save_figure",
    "theta_figure",
]
