-- Which hours of the window are read: all, or beyond most_uses uses one in `every`, whose rows weigh as much more.
{every:With},
{hours_of:With}
