#!/bin/sh
dialog --title Loader --msgbox "Choose what to build." 8 40
