"""Are the promises kept?"""
